/** How often each address may ask: a burst, then so many a second. Addresses that have not asked for long are forgotten. */
export class RequestBudget {
  readonly #o: { burst: number; perSecond: number; monotonicMs: () => number };
  readonly #left = new Map<string, { tokens: number; atMs: number }>();

  constructor(options: { burst: number; perSecond: number; monotonicMs: () => number }) {
    this.#o = options;
  }

  take(address: string): boolean {
    const { burst, perSecond, monotonicMs } = this.#o;
    const nowMs = monotonicMs();
    const known = this.#left.get(address) ?? { tokens: burst, atMs: nowMs };
    const tokens = Math.min(burst, known.tokens + ((nowMs - known.atMs) / 1000) * perSecond);
    const mayAsk = tokens >= 1;
    this.#left.delete(address);
    this.#left.set(address, { tokens: mayAsk ? tokens - 1 : tokens, atMs: nowMs });
    const [oldest] = this.#left.keys();
    if (this.#left.size > mostAddresses && oldest !== undefined) this.#left.delete(oldest);
    return mayAsk;
  }
}

const mostAddresses = 4096;
