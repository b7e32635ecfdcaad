import type { Clock, Logger } from '@selvedge/api';
import type { errors, JWTPayload, JWTVerifyOptions } from 'jose';
import type { Authenticator, Credentials } from '../authenticator.ts';
import { claimedIssuer, describeJwtFault, isJoseError } from '../json-web-token.ts';
import { TokenCache } from '../token-cache.ts';
import { unauthorized } from '../unauthorized.ts';
import type { UserInfo } from '../user-info.ts';
import { claimedUser } from './claimed-user.ts';
import { IssuerAway, IssuerKeys } from './issuer-keys.ts';
import type { OidcIssuer } from './oidc-issuer.ts';

export interface OidcAuthenticatorOptions {
  readonly issuers: readonly OidcIssuer[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends requests to issuers that are under way. */
  readonly signal: AbortSignal;
}

/** Signatures by a key pair: with a shared secret, who can verify can also forge. */
const algorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
/** So that a key that its issuer withdrew does not live on in the cache. */
const maxCachedMilliseconds = 60_000;
/** Clocks of issuers differ from ours. */
const leewaySeconds = 10;

interface KnownIssuer {
  readonly config: OidcIssuer;
  readonly keys: IssuerKeys;
}

/** Knows ID tokens of OpenID Connect issuers. A token only concerns, and only waits for, the issuer that it names. */
export class OidcAuthenticator implements Authenticator {
  readonly #options: OidcAuthenticatorOptions;
  readonly #issuers: ReadonlyMap<string, KnownIssuer>;
  readonly #cache = new TokenCache<UserInfo>();

  constructor(options: OidcAuthenticatorOptions) {
    this.#options = options;
    const { clock, signal } = options;
    const logger = options.logger.child({ component: 'oidc' });
    this.#issuers = new Map(
      options.issuers.map((config) => [
        config.url,
        { config, keys: new IssuerKeys({ ...config, clock, logger, signal }) },
      ]),
    );
  }

  /** Asks every issuer for its keys, so that the log tells of a wrong configuration before a token comes. Never rejects. */
  async prepare(): Promise<void> {
    await Promise.all([...this.#issuers.values()].map(({ keys }) => keys.refresh()));
  }

  async authenticate({ bearerToken }: Credentials): Promise<UserInfo | undefined> {
    if (bearerToken === undefined) return undefined;
    const now = this.#options.clock.now();
    const known = this.#cache.find(bearerToken, now.getTime());
    if (known) return known;
    const issuer = this.#issuers.get(claimedIssuer(bearerToken) ?? '');
    if (!issuer) return undefined;
    const payload = await this.#verify(bearerToken, issuer);
    const user = claimedUser(issuer.config, payload);
    const expiresAt = ((payload.exp ?? 0) + leewaySeconds) * 1000;
    this.#cache.keep(bearerToken, user, Math.min(expiresAt, now.getTime() + maxCachedMilliseconds));
    return user;
  }

  async #verify(token: string, { config, keys }: KnownIssuer): Promise<JWTPayload> {
    const options: JWTVerifyOptions = {
      issuer: config.url,
      audience: [...config.audiences],
      algorithms,
      requiredClaims: ['exp'],
      currentDate: this.#options.clock.now(),
      clockTolerance: leewaySeconds,
    };
    const { jwtVerify } = await import('jose');
    try {
      return (await jwtVerify(token, keys.getKey, options)).payload;
    } catch (error) {
      if (isJoseError(error, 'ERR_JWKS_MULTIPLE_MATCHING_KEYS')) {
        return await verifyWithAny(error as errors.JWKSMultipleMatchingKeys, token, options);
      }
      if (error instanceof IssuerAway) {
        throw unauthorized('the issuer of the token cannot be reached by the hub: see its log', error);
      }
      throw unauthorized(describeJwtFault(error), error);
    }
  }
}

/** For a token that does not say which key of its issuer signed it. */
async function verifyWithAny(
  keys: errors.JWKSMultipleMatchingKeys,
  token: string,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  const { jwtVerify } = await import('jose');
  let fault: unknown = keys;
  for await (const key of keys) {
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      fault = error;
      if (!isJoseError(error, 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED')) break;
    }
  }
  throw unauthorized(describeJwtFault(fault), fault);
}
