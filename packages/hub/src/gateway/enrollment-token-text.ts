import {
  type Clock,
  type EnrollmentToken,
  type EnrollmentTokenClaims,
  enrollmentTokens,
  type KubeObject,
  StatusError,
} from '@selvedge/api';
import { expiryOf } from '../resources/enrollment-token-definition.ts';
import type { HubIdentity } from '../identity/hub-identity.ts';

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

/**
 * The action `enrollmenttokens/NAME/token`: answers an EnrollmentTokenRequest with the text in `status.token`. The
 * secret in it is derived, never stored.
 */
export function tokenIssuer(options: {
  identity: Pick<HubIdentity, 'fleetKey' | 'enrollmentSecret'>;
  clock: Clock;
  /** Addresses at which agents reach this hub. */
  hubUrls: () => readonly string[];
}): (token: EnrollmentToken) => Promise<KubeObject> {
  return async (token) => {
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
    const text = encodeTokenText({
      hubs: [...options.hubUrls()],
      fleetKeyFingerprint: options.identity.fleetKey.fingerprint,
      token: name,
      secret: options.identity.enrollmentSecret(uid),
    });
    return {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'EnrollmentTokenRequest',
      metadata: { name },
      status: { token: text, expirationTimestamp: expiry.toISOString() },
    };
  };
}
