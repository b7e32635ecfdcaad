import type { JWTPayload } from 'jose';
import type { ObjectIdentity } from './service-account-user.ts';

/** The private claim `kubernetes.io` of a token, as Kubernetes writes it. */
export interface ServiceAccountClaim {
  readonly namespace: string;
  readonly serviceaccount: ObjectIdentity;
  /** The token ends with this Secret. */
  readonly secret?: ObjectIdentity;
}

export const claimName = 'kubernetes.io';

/** What a verified token says. */
export interface TokenClaims {
  readonly account: ServiceAccountClaim;
  readonly audiences: readonly string[];
  readonly tokenId: string;
  /** Seconds since the epoch; `undefined`: it does not expire, its Secret holds it. */
  readonly expiresAt: number | undefined;
}

/** `undefined` when it is not one of a ServiceAccount. */
export function readClaims(payload: JWTPayload): TokenClaims | undefined {
  const { aud, exp, jti, sub } = payload;
  const account = readAccount(payload[claimName]);
  if (!account || typeof jti !== 'string') return undefined;
  if (exp === undefined && account.secret === undefined) return undefined;
  if (sub !== subjectOf(account.namespace, account.serviceaccount.name)) return undefined;
  return {
    account,
    audiences: aud === undefined ? [] : [aud].flat(),
    tokenId: jti,
    expiresAt: exp,
  };
}

export const subjectOf = (namespace: string, name: string): string =>
  `system:serviceaccount:${namespace}:${name}`;

function readAccount(claim: unknown): ServiceAccountClaim | undefined {
  if (!isRecord(claim)) return undefined;
  const { namespace, serviceaccount, secret } = claim;
  if (typeof namespace !== 'string' || !isIdentity(serviceaccount)) return undefined;
  if (secret === undefined) return { namespace, serviceaccount };
  return isIdentity(secret) ? { namespace, serviceaccount, secret } : undefined;
}

function isIdentity(value: unknown): value is ObjectIdentity {
  return isRecord(value) && typeof value['name'] === 'string' && typeof value['uid'] === 'string';
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;
