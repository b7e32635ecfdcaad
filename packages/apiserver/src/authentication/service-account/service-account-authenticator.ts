import { secrets, serviceAccounts } from '@selvedge/api';
import type { Authenticator, Credentials } from '../authenticator.ts';
import { claimedIssuer, describeJwtFault } from '../json-web-token.ts';
import { TokenCache } from '../token-cache.ts';
import { unauthorized } from '../unauthorized.ts';
import type { UserInfo } from '../user-info.ts';
import { LivingObjects, type ObjectLife } from './living-objects.ts';
import { serviceAccountUser } from './service-account-user.ts';
import type { TokenSource } from './sign-token.ts';
import { signingAlgorithm } from './signing-keys.ts';
import { readClaims } from './token-claims.ts';

interface VerifiedToken {
  readonly user: UserInfo;
  readonly audiences: readonly string[];
  readonly keyId: string;
  readonly lives: readonly ObjectLife[];
}

/** Clocks of several hubs differ by a little. */
const leewaySeconds = 5;
/** Of tokens that do not expire. */
const maxCachedSeconds = 3600;

/**
 * Knows tokens of ServiceAccounts. The signature is verified once; that the ServiceAccount and the object that the
 * token is bound to are still there is looked up for every request.
 */
export class ServiceAccountAuthenticator implements Authenticator {
  readonly #options: TokenSource;
  readonly #cache = new TokenCache<VerifiedToken>();
  readonly #living: LivingObjects;

  constructor(options: TokenSource) {
    this.#options = options;
    this.#living = new LivingObjects(options.store);
  }

  async authenticate({ bearerToken, audiences }: Credentials): Promise<UserInfo | undefined> {
    if (bearerToken === undefined) return undefined;
    const token = this.#findKnown(bearerToken) ?? (await this.#verify(bearerToken));
    if (!token) return undefined;
    const wanted = audiences ?? this.#options.issuers();
    if (!token.audiences.some((audience) => wanted.includes(audience))) {
      throw unauthorized('the token is meant for another audience');
    }
    for (const life of token.lives) {
      if (await this.#living.isAlive(life)) continue;
      throw unauthorized(
        `the ${life.resource === serviceAccounts.plural ? 'ServiceAccount' : 'Secret'} "${life.name}" of the token is not there any more`,
      );
    }
    return token.user;
  }

  #findKnown(token: string): VerifiedToken | undefined {
    const known = this.#cache.find(token, this.#options.clock.now().getTime());
    // A key that was taken away takes what it signed with it.
    return known && this.#options.keys().publicKeys.has(known.keyId) ? known : undefined;
  }

  async #verify(token: string): Promise<VerifiedToken | undefined> {
    const issuer = claimedIssuer(token);
    const issuers = this.#options.issuers();
    if (issuer === undefined || !issuers.includes(issuer)) return undefined;
    const { jwtVerify, errors } = await import('jose');
    const { publicKeys } = this.#options.keys();
    const now = this.#options.clock.now();
    let keyId = '';
    const { payload } = await jwtVerify(
      token,
      ({ kid = '' }) => {
        const key = publicKeys.get(kid);
        if (!key) throw new errors.JWKSNoMatchingKey();
        keyId = kid;
        return key;
      },
      {
        issuer,
        algorithms: [signingAlgorithm],
        requiredClaims: ['iat', 'jti', 'sub', 'aud'],
        currentDate: now,
        clockTolerance: leewaySeconds,
      },
    ).catch((error: unknown) => {
      throw unauthorized(describeJwtFault(error), error);
    });
    const claims = readClaims(payload);
    if (!claims) throw unauthorized('the token is not one of a ServiceAccount');
    const { namespace, serviceaccount, secret } = claims.account;
    const lives: ObjectLife[] = [{ resource: serviceAccounts.plural, namespace, ...serviceaccount }];
    // One that does not expire counts as long as its Secret holds it.
    const held = claims.expiresAt === undefined ? { token } : {};
    if (secret) lives.push({ resource: secrets.plural, namespace, ...secret, ...held });
    const verified: VerifiedToken = {
      user: serviceAccountUser(namespace, serviceaccount, claims.tokenId),
      audiences: claims.audiences,
      keyId,
      lives,
    };
    const { expiresAt = now.getTime() / 1000 + maxCachedSeconds } = claims;
    this.#cache.keep(token, verified, (expiresAt + leewaySeconds) * 1000);
    return verified;
  }
}
