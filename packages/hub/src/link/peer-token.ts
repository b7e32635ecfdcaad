import { createHash, createPublicKey, randomUUID, verify } from 'node:crypto';
import { canonicalJson, type Clock, type LinkUser, StatusError } from '@selvedge/api';
import type { FleetKey } from '../identity/fleet-key.ts';

/** What one hub asks another to pass on to a site, in the name of a user that it has authenticated and authorised itself. */
export interface PeerRequest {
  readonly site: string;
  readonly method: string;
  /** Path and query at the site. */
  readonly path: string;
  readonly user: LinkUser;
  /** The protocol that it upgrades to, in lower case; '' for none. */
  readonly upgrade: string;
}

const purpose = 'selvedge-link-peer';
const lifeSeconds = 60;
/** Clocks of hubs on one database agree better than this. */
const leewaySeconds = 60;

interface Claims extends Omit<PeerRequest, 'path'> {
  readonly purpose: string;
  readonly pathDigest: string;
  readonly exp: number;
  readonly jti: string;
}

/** A token for one request, once, by the key that all hubs of a fleet have. */
export function signPeerRequest(request: PeerRequest, key: FleetKey, clock: Clock): Promise<string> {
  const { site, method, user, upgrade, path } = request;
  const claims: Claims = {
    purpose,
    site,
    method,
    user: { name: user.name, groups: user.groups },
    upgrade,
    pathDigest: digest(path),
    exp: Math.floor(clock.now().getTime() / 1000) + lifeSeconds,
    jti: randomUUID(),
  };
  return key.sign(canonicalJson(claims));
}

export interface PeerTokenCheck {
  /** What was truly asked. */
  readonly asked: Omit<PeerRequest, 'user'>;
  /** Raw Ed25519 fleet key, base64url. */
  readonly publicKey: string;
  readonly clock: Clock;
  readonly isFirstUse: (id: string, expiresAt: number) => boolean;
}

/** For whom the request is. Throws Unauthorized. */
export function verifyPeerToken(authorization: string | undefined, check: PeerTokenCheck): LinkUser {
  const [, token = ''] = /^Bearer +(\S+)$/i.exec(authorization ?? '') ?? [];
  const [header = '', payload = '', signature = ''] = token.split('.');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: check.publicKey }, format: 'jwk' });
  const signed = Buffer.from(`${header}.${payload}`);
  if (!verify(null, signed, key, Buffer.from(signature, 'base64url')))
    throw refused('its signature is wrong');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Partial<Claims>;
  // The same key signs desired states and identities too.
  if (claims.purpose !== purpose || !claims.user) throw refused('it is for something else');
  const { asked, clock, isFirstUse } = check;
  const isForThis =
    claims.site === asked.site &&
    claims.method === asked.method &&
    claims.upgrade === asked.upgrade &&
    claims.pathDigest === digest(asked.path);
  if (!isForThis) throw refused('it is for another request');
  const { exp = 0, jti = '' } = claims;
  const now = clock.now().getTime() / 1000;
  if (exp + leewaySeconds < now || exp > now + lifeSeconds + leewaySeconds) {
    throw refused('it is not valid now: compare the clocks of the hubs');
  }
  if (jti === '' || !isFirstUse(`peer ${jti}`, exp)) throw refused('it was used before');
  return claims.user;
}

const digest = (path: string): string => createHash('sha256').update(path).digest('base64url');

function refused(why: string): StatusError {
  return new StatusError('Unauthorized', `the token of the other hub is refused: ${why}`);
}
