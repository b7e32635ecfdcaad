import {
  agentManifests,
  type Clock,
  type EnrollmentToken,
  enrollmentTokens,
  faultOfDnsSubdomain,
  type Logger,
  type ObjectClient,
  resolveInstall,
  StatusError,
} from '@selvedge/api';
import { formatManifests } from '@selvedge/kube';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { countUses } from './enrollment-ledger.ts';
import { enrollmentTokenText, getExpiry } from './enrollment-token-text.ts';
import { type HttpExchange, installPrefix } from './http-exchange.ts';
import { readInstallCode } from './install-code.ts';

export interface InstallEndpointOptions {
  readonly client: ObjectClient;
  readonly identity: Pick<
    HubIdentity,
    'fleetKey' | 'enrollmentSecret' | 'installSignature' | 'isInstallSignature'
  >;
  /** Addresses at which agents reach this hub. */
  readonly hubUrls: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * `GET /enroll/CODE`: manifests that make a cluster a site, with the enrolment token in them, for `kubectl apply -f`. Whoever has the code
 * has the token, for some minutes. All refusals of a code that was not signed here are one and take the same steps.
 */
export class InstallEndpoint {
  readonly #o: InstallEndpointOptions;

  constructor(options: InstallEndpointOptions) {
    this.#o = options;
  }

  async handle(exchange: HttpExchange): Promise<void> {
    const { clock, identity, hubUrls, logger } = this.#o;
    const code = readInstallCode(exchange.path.slice(installPrefix.length));
    const token = await this.#findToken(code?.claims.token ?? '');
    // Computed for a missing token too, so that the time taken tells nothing.
    const isSigned = code?.isSigned(token?.metadata.uid ?? 'missing', identity) ?? false;
    if (code === undefined || token === undefined || !isSigned) {
      throw forbidden('this address of manifests is not good, or its enrolment token was deleted');
    }
    const { claims } = code;
    if (claims.expiresAt <= clock.now() || getExpiry(token) <= clock.now()) {
      throw forbidden('this address of manifests has expired');
    }
    if (countUses(token) >= (token.spec.uses ?? 1)) {
      throw forbidden('the enrolment token of this address is used up');
    }
    const text = enrollmentTokenText(token, { identity, hubUrls });
    const manifests = await formatManifests(agentManifests(resolveInstall(claims.wish), text));
    logger.info('manifests of an agent given out', { token: token.metadata.name });
    exchange.answer({
      code: 200,
      headers: { 'content-type': 'application/yaml; charset=utf-8' },
      body: Buffer.from(manifests),
    });
  }

  async #findToken(name: string): Promise<EnrollmentToken | undefined> {
    const safeName = faultOfDnsSubdomain(name) === undefined ? name : 'no-such-token';
    const token = await this.#o.client.find<EnrollmentToken>(enrollmentTokens, { name: safeName });
    return token?.metadata.deletionTimestamp === undefined ? token : undefined;
  }
}

function forbidden(what: string): StatusError {
  return new StatusError('Forbidden', `${what}; make a new one: selvedge site manifest NAME --url`);
}
