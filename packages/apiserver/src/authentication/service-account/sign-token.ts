import { randomUUID } from 'node:crypto';
import type { Clock, KubeObject } from '@selvedge/api';
import type { ObjectStore } from '@selvedge/store';
import type { ObjectIdentity } from './service-account-user.ts';
import { type SigningKeys, signingAlgorithm } from './signing-keys.ts';
import { claimName, type ServiceAccountClaim, subjectOf } from './token-claims.ts';

/** What service account tokens are made from. */
export interface TokenSource {
  readonly store: Pick<ObjectStore, 'find'>;
  /** Asked each time: keys are rotated while the server runs. */
  readonly keys: () => SigningKeys;
  /** Whose tokens are taken, and the audiences that mean this API. The first signs. */
  readonly issuers: () => readonly string[];
  readonly clock: Clock;
}

export interface TokenContent {
  readonly account: KubeObject;
  /** The token ends with it. */
  readonly secret?: ObjectIdentity | undefined;
  /** Empty: this API. */
  readonly audiences: readonly string[];
  /** Absent: it does not expire. Only for a token that its Secret holds. */
  readonly lifeSeconds?: number;
}

export interface SignedToken {
  readonly token: string;
  readonly audiences: readonly string[];
  /** Seconds since the epoch. */
  readonly issuedAt: number;
}

export async function signToken(source: TokenSource, content: TokenContent): Promise<SignedToken> {
  const [issuer] = source.issuers();
  if (issuer === undefined) throw new Error('there is no issuer of tokens yet');
  const { SignJWT } = await import('jose');
  const { account, secret, lifeSeconds } = content;
  const { name, namespace = '', uid = '' } = account.metadata;
  const audiences = content.audiences.length > 0 ? [...content.audiences] : [issuer];
  const issuedAt = Math.floor(source.clock.now().getTime() / 1000);
  const claim: ServiceAccountClaim = {
    namespace,
    serviceaccount: { name, uid },
    ...(secret ? { secret } : {}),
  };
  const { active } = source.keys();
  const token = await new SignJWT({
    iss: issuer,
    aud: audiences,
    iat: issuedAt,
    nbf: issuedAt,
    ...(lifeSeconds === undefined ? {} : { exp: issuedAt + lifeSeconds }),
    jti: randomUUID(),
    sub: subjectOf(namespace, name),
    [claimName]: claim,
  })
    .setProtectedHeader({ alg: signingAlgorithm, kid: active.id })
    .sign(active.privateKey);
  return { token, audiences, issuedAt };
}

/** A token that does not expire, for a Secret of type `kubernetes.io/service-account-token` to hold. */
export async function signLastingToken(
  source: TokenSource,
  content: { readonly account: KubeObject; readonly secret: ObjectIdentity },
): Promise<string> {
  return (await signToken(source, { ...content, audiences: [] })).token;
}
