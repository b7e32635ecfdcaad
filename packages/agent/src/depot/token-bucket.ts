import type { Clock } from '@selvedge/api';

export interface TokenBucketOptions {
  /** Undefined: no limit. Looked at while somebody waits too: a new limit counts within a second. */
  readonly bytesPerSecond: () => number | undefined;
  readonly clock: Clock;
  /** Milliseconds that never jump. */
  readonly monotonicMs: () => number;
}

/** A bandwidth cap that all who fetch share: over time no more than so many bytes a second pass, in the order in which they were asked for. */
export class TokenBucket {
  readonly #o: TokenBucketOptions;
  /** Bytes that were ever asked for, and those of them that have been paid for; what is paid ahead is at most `burstMs` long. */
  #takenBytes = 0;
  #paidBytes = 0;
  #paidAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: TokenBucketOptions) {
    this.#o = options;
  }

  /** Resolves when the bytes may have passed, or with the signal. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    this.#pay();
    this.#takenBytes += bytes;
    const dueBytes = this.#takenBytes;
    while (!signal.aborted) {
      const bytesPerSecond = this.#pay();
      const owedBytes = dueBytes - this.#paidBytes;
      if (bytesPerSecond === undefined || owedBytes < 1) return;
      await this.#o.clock.sleep(Math.min(longestSleepMs, (owedBytes / bytesPerSecond) * 1000), signal);
    }
  }

  /** For the time since it was last called, by the limit of now. */
  #pay(): number | undefined {
    const bytesPerSecond = this.#o.bytesPerSecond();
    const nowMs = this.#o.monotonicMs();
    const rate = bytesPerSecond ?? Number.POSITIVE_INFINITY;
    const most = this.#takenBytes + (bytesPerSecond === undefined ? 0 : (rate * burstMs) / 1000);
    const passedMs = nowMs - this.#paidAtMs;
    // Nothing passed: 0 × ∞ is no number.
    if (passedMs > 0) this.#paidBytes += (rate * passedMs) / 1000;
    this.#paidBytes = bytesPerSecond === undefined ? most : Math.min(most, this.#paidBytes);
    this.#paidAtMs = nowMs;
    return bytesPerSecond;
  }
}

/** What was not used in the last moment may be used now. */
const burstMs = 250;
const longestSleepMs = 1000;
