import {
  type Clock,
  type EnrollmentToken,
  type EnrollmentTokenClaims,
  enrollmentTokens,
  type InstallWish,
  type KubeObject,
  resolveInstall,
  StatusError,
} from '@selvedge/api';
import { expiryOf } from '../resources/enrollment-token-definition.ts';
import type { HubIdentity } from '../identity/hub-identity.ts';
import { installPrefix } from './http-exchange.ts';
import { encodeInstallCode, installCodeSeconds } from './install-code.ts';

const prefix = 'selvedge1.';

/** When a token stops to let agents in. */
export function getExpiry(token: EnrollmentToken): Date {
  const expiry = expiryOf(token);
  if (expiry === undefined) throw new Error(`EnrollmentToken "${token.metadata.name}" has no creation time`);
  return expiry;
}

/** What a person gives to an agent. */
export function encodeTokenText(claims: EnrollmentTokenClaims): string {
  return prefix + Buffer.from(JSON.stringify(claims)).toString('base64url');
}

/** The text of a token: its secret is derived, never stored. */
export function enrollmentTokenText(
  { metadata: { name, uid } }: EnrollmentToken,
  options: {
    identity: Pick<HubIdentity, 'fleetKey' | 'enrollmentSecret'>;
    hubUrls: () => readonly string[];
  },
): string {
  if (uid === undefined) throw new StatusError('InternalError', `EnrollmentToken "${name}" has no uid`);
  return encodeTokenText({
    hubs: [...options.hubUrls()],
    fleetKeyFingerprint: options.identity.fleetKey.fingerprint,
    token: name,
    secret: options.identity.enrollmentSecret(uid),
  });
}

/**
 * The action `enrollmenttokens/NAME/token`: answers an EnrollmentTokenRequest with the text in `status.token`. The
 * secret in it is derived, never stored. With `spec.install` also with an address of manifests, in `status.installUrls`.
 */
export function tokenIssuer(options: {
  identity: Pick<HubIdentity, 'fleetKey' | 'enrollmentSecret' | 'installSignature' | 'isInstallSignature'>;
  clock: Clock;
  /** Addresses at which agents reach this hub. */
  hubUrls: () => readonly string[];
}): (token: EnrollmentToken, body?: unknown) => Promise<KubeObject> {
  return async (token, body) => {
    const { name, uid } = token.metadata;
    if (uid === undefined) throw new StatusError('InternalError', `EnrollmentToken "${name}" has no uid`);
    const expiry = getExpiry(token);
    if (expiry <= options.clock.now()) {
      throw new StatusError(
        'Conflict',
        `EnrollmentToken "${name}" expired at ${expiry.toISOString()}: make a new one`,
        { details: { name, group: enrollmentTokens.group, kind: enrollmentTokens.plural } },
      );
    }
    const text = enrollmentTokenText(token, options);
    const wish = (body as { spec?: { install?: InstallWish } } | undefined)?.spec?.install;
    const install = wish === undefined ? {} : installStatus(token, wish, options);
    return {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentTokenRequest',
      metadata: { name },
      status: { token: text, expirationTimestamp: expiry.toISOString(), ...install },
    };
  };
}

function installStatus(
  token: EnrollmentToken,
  wish: InstallWish,
  options: Parameters<typeof tokenIssuer>[0],
): { installUrls: string[]; installExpirationTimestamp: string } {
  try {
    resolveInstall(wish);
  } catch (error) {
    throw new StatusError('BadRequest', (error as Error).message);
  }
  const { name, uid = '' } = token.metadata;
  const lastMs = Math.min(
    options.clock.now().getTime() + installCodeSeconds * 1000,
    getExpiry(token).getTime(),
  );
  const expiresAt = new Date(lastMs);
  const code = encodeInstallCode({ token: name, expiresAt, wish }, uid, options.identity);
  return {
    installUrls: options.hubUrls().map((url) => `${url}${installPrefix}${code}`),
    installExpirationTimestamp: expiresAt.toISOString(),
  };
}
