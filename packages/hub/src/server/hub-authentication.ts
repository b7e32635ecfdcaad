import type { Clock, KubeObject, Logger } from '@selvedge/api';
import {
  type Authenticator,
  type Endpoint,
  forThisApi,
  OidcAuthenticator,
  openIdDiscovery,
  type ResourceDefinition,
  type ReviewDefinition,
  selfSubjectReviewDefinitions,
  ServiceAccountAuthenticator,
  serviceAccountDefinition,
  signLastingToken,
  staticTokenAuthenticator,
  tokenRequestAction,
  tokenReviewDefinition,
} from '@selvedge/apiserver';
import type { ObjectStore } from '@selvedge/store';
import { BootstrapToken } from '../identity/bootstrap-token.ts';
import { ServiceAccountKeys } from '../identity/service-account-keys.ts';
import type { WatchedFiles } from '../identity/watch-files.ts';
import type { AuthenticationOptions } from './authentication-options.ts';
import { HubOptionError } from './hub-option-error.ts';

export interface HubAuthenticationOptions {
  readonly dataDirectory: string;
  readonly options: AuthenticationOptions;
  readonly store: Pick<ObjectStore, 'find'>;
  /** Addresses of this hub; empty until it listens. */
  readonly urls: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends requests to OIDC issuers. */
  readonly signal: AbortSignal;
}

/** Everything by which the hub knows users, beside client certificates. */
export interface HubAuthentication {
  readonly authenticators: readonly Authenticator[];
  readonly definitions: readonly (ResourceDefinition | ReviewDefinition)[];
  readonly endpoints: readonly Endpoint[];
  /** Makes a token that does not expire, for a Secret to hold. */
  readonly signLastingToken: (account: KubeObject, secret: { name: string; uid: string }) => Promise<string>;
  /** Keys, tokens and settings that may change while the hub runs. */
  readonly watched: readonly WatchedFiles[];
}

const bootstrapUser = { name: 'system:bootstrap', groups: ['system:masters'] };

/** Throws HubOptionError or DataDirectoryError, with a message for the person who started the hub. */
export async function openHubAuthentication(o: HubAuthenticationOptions): Promise<HubAuthentication> {
  const { dataDirectory, options, store, clock, logger } = o;
  const accountKeys = new ServiceAccountKeys(dataDirectory, logger);
  await accountKeys.load();
  const bootstrap = new BootstrapToken(dataDirectory, logger);
  await (options.bootstrapToken ? bootstrap.load() : bootstrap.remove());
  const oidc = await openOidc(o);

  const issuers = () =>
    options.serviceAccountIssuers.length > 0 ? options.serviceAccountIssuers : o.urls().slice(0, 1);
  const accounts = { store, keys: () => accountKeys.current, issuers, clock };
  const authenticators = [
    forThisApi(staticTokenAuthenticator({ token: () => bootstrap.current, user: bootstrapUser }), issuers),
    new ServiceAccountAuthenticator(accounts),
    forThisApi(oidc.authenticator, issuers),
  ];
  return {
    authenticators,
    definitions: [
      serviceAccountDefinition(tokenRequestAction(accounts)),
      tokenReviewDefinition(authenticators),
      ...selfSubjectReviewDefinitions(clock),
    ],
    endpoints: openIdDiscovery({ ...accounts, serverUrl: () => o.urls()[0] ?? '' }),
    signLastingToken: (account, secret) => signLastingToken(accounts, { account, secret }),
    watched: [
      { paths: [accountKeys.path], reload: () => accountKeys.load() },
      ...(options.bootstrapToken ? [{ paths: [bootstrap.path], reload: () => bootstrap.load() }] : []),
      ...oidc.watched,
    ],
  };
}

/** Issuers of OIDC, which change with their files. */
async function openOidc({ options, clock, logger, signal }: HubAuthenticationOptions) {
  const open = async () => {
    const issuers = await options.loadOidcIssuers();
    const own = issuers.find(({ url }) => options.serviceAccountIssuers.includes(url));
    if (own)
      throw new HubOptionError(
        `${own.url} is the issuer of service account tokens, it cannot be one of OIDC`,
      );
    return {
      settings: JSON.stringify(issuers),
      oidc: new OidcAuthenticator({ issuers, clock, logger, signal }),
    };
  };
  let current = await open();
  void current.oidc.prepare();
  const reload = async () => {
    const next = await open();
    if (next.settings === current.settings) return;
    current = next;
    logger.info('OIDC issuers changed', { component: 'oidc' });
    void current.oidc.prepare();
  };
  const authenticator: Authenticator = {
    authenticate: (credentials) => current.oidc.authenticate(credentials),
  };
  return {
    authenticator,
    watched: options.oidcFiles.length > 0 ? [{ paths: options.oidcFiles, reload }] : [],
  };
}
