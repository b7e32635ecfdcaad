import { type Clock, isObject, type Logger } from '@selvedge/api';
import type { JWTVerifyGetKey } from 'jose';
import { isJoseError } from '../json-web-token.ts';
import { fetchJson } from './fetch-json.ts';

export interface IssuerKeysOptions {
  readonly url: string;
  /** Where the discovery document is, when not below `url`. */
  readonly discoveryUrl?: string;
  /** PEM of whom the issuer's certificate comes from; absent: the usual ones. */
  readonly authority?: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends a request under way. */
  readonly signal: AbortSignal;
}

/** However many tokens come: not more often than this. */
const minIntervalMilliseconds = 10_000;
/** Keys that an issuer has withdrawn are forgotten at the latest by then, while it can be reached. */
const refreshMilliseconds = 30 * 60_000;

interface KeySet {
  readonly getKey: JWTVerifyGetKey;
  readonly fetchedAt: number;
}

/**
 * The keys that an OIDC issuer signs with, by discovery. Fetched when first asked for, again when a token names a key
 * that is not among them, and from time to time; by one request at a time, and rarely. When the issuer cannot be
 * reached, the keys that are there go on.
 */
export class IssuerKeys {
  readonly #o: IssuerKeysOptions;
  #keys: KeySet | undefined;
  #fetching: Promise<void> | undefined;
  #lastTry = Number.NEGATIVE_INFINITY;
  /** Why the last try failed; the log speaks of it once, not for every token. */
  #failure: string | undefined;

  constructor(options: IssuerKeysOptions) {
    this.#o = options;
  }

  /** For `jwtVerify`. Throws `JWKSNoMatchingKey`, or `IssuerAway` when the issuer has never been reached. */
  readonly getKey: JWTVerifyGetKey = async (header, token) => {
    const keys = this.#keys;
    if (!keys) {
      await this.refresh();
      return this.#present()(header, token);
    }
    if (this.#now() - keys.fetchedAt > refreshMilliseconds) void this.refresh();
    try {
      return await keys.getKey(header, token);
    } catch (error) {
      if (!isJoseError(error, 'ERR_JWKS_NO_MATCHING_KEY')) throw error;
      await this.refresh();
      return this.#present()(header, token);
    }
  };

  /** Asks the issuer, unless somebody just has. Never rejects. */
  refresh(): Promise<void> {
    if (this.#fetching) return this.#fetching;
    const now = this.#now();
    if (now - this.#lastTry < minIntervalMilliseconds && now >= this.#lastTry) return Promise.resolve();
    this.#lastTry = now;
    this.#fetching = this.#fetch().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  #present(): JWTVerifyGetKey {
    if (this.#keys) return this.#keys.getKey;
    throw new IssuerAway(this.#failure ?? 'it has not answered yet');
  }

  #now(): number {
    return this.#o.clock.now().getTime();
  }

  async #fetch(): Promise<void> {
    const { url, logger } = this.#o;
    try {
      const getKey = await this.#fetchKeys();
      this.#keys = { getKey, fetchedAt: this.#now() };
      if (this.#failure !== undefined) logger.info('OIDC issuer is back', { issuer: url });
      this.#failure = undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (this.#o.signal.aborted) return;
      if (reason !== this.#failure) {
        logger.warn('OIDC issuer cannot be asked for its keys', { issuer: url, reason });
      }
      this.#failure = reason;
    }
  }

  async #fetchKeys(): Promise<JWTVerifyGetKey> {
    const { url, discoveryUrl, authority, signal } = this.#o;
    const fetchOptions = { signal, ...(authority === undefined ? {} : { authority }) };
    const address = discoveryUrl ?? `${url.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const discovery = await fetchJson(address, fetchOptions);
    if (!isObject(discovery) || discovery['issuer'] !== url) {
      const said = isObject(discovery) ? JSON.stringify(discovery['issuer']) : 'nothing';
      throw new Error(`${address} says that the issuer is ${said}, configured is "${url}"`);
    }
    const keysUrl = discovery['jwks_uri'];
    if (typeof keysUrl !== 'string' || URL.parse(keysUrl)?.protocol !== 'https:') {
      throw new Error(`${address} has no jwks_uri that begins with https://`);
    }
    const keySet = await fetchJson(keysUrl, fetchOptions);
    if (!isObject(keySet) || !Array.isArray(keySet['keys'])) throw new Error(`${keysUrl} holds no key set`);
    // Only public keys: a symmetric one in such a document is known to everybody.
    const keys = keySet['keys'].filter((key) => isObject(key) && key['kty'] !== 'oct');
    const { createLocalJWKSet } = await import('jose');
    return createLocalJWKSet({ keys });
  }
}

/** The issuer has never been reached, so nobody can say whether its tokens are good. */
export class IssuerAway extends Error {
  override readonly name = 'IssuerAway';
}
