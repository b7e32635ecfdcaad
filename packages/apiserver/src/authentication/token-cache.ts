import { hash } from 'node:crypto';

const defaultMaxTokens = 10_000;

/**
 * Remembers what tokens turned out to be, by their digest: the tokens themselves are not kept. Holds a bounded number;
 * those not asked for the longest go first.
 */
export class TokenCache<T> {
  readonly #maxTokens: number;
  readonly #entries = new Map<string, { readonly value: T; readonly until: number }>();

  constructor(maxTokens = defaultMaxTokens) {
    this.#maxTokens = maxTokens;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** `now` in milliseconds since the epoch. */
  find(token: string, now: number): T | undefined {
    const key = digest(token);
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    if (entry.until <= now) return undefined;
    this.#entries.set(key, entry);
    return entry.value;
  }

  /** `until` in milliseconds since the epoch. */
  keep(token: string, value: T, until: number): void {
    const key = digest(token);
    this.#entries.delete(key);
    this.#entries.set(key, { value, until });
    if (this.#entries.size <= this.#maxTokens) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  forget(token: string): void {
    this.#entries.delete(digest(token));
  }
}

const digest = (token: string): string => hash('sha256', token, 'base64');
