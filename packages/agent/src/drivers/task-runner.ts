import type { Clock, Logger } from '@selvedge/api';

const firstPauseMs = 1000;
const longestPauseMs = 60_000;

export interface TaskFailure {
  readonly error: unknown;
  /** In a row. */
  readonly count: number;
  /** From the first of the row to this one (ms). */
  readonly lastedMs: number;
  /** Not tried again before (ms). */
  readonly retryAt: number;
}

/**
 * Work that takes its time, at most one piece per key; the loop goes on meanwhile. What fails is not begun again before a pause
 * that doubles each time.
 */
export class TaskRunner {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onEnd: () => void;
  readonly #running = new Map<string, Promise<void>>();
  readonly #failures = new Map<string, TaskFailure & { readonly sinceMs: number }>();
  /** Ended since the site was last looked at. */
  readonly #ended = new Set<string>();
  #isClosed = false;

  constructor(options: { clock: Clock; logger: Logger; onEnd: () => void }) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#onEnd = options.onEnd;
  }

  isBusy(key: string): boolean {
    return this.#running.has(key);
  }

  /**
   * Call before the site is looked at. Work that ends after the look is not begun again on its strength: what was seen may
   * be what the work has changed.
   */
  beginLook(): void {
    this.#ended.clear();
  }

  /** Begins unless the key is busy, pausing, or has ended since the last look. */
  begin(key: string, work: () => Promise<void>): void {
    const failure = this.#failures.get(key);
    const isPausing = failure !== undefined && failure.retryAt > this.#clock.now().getTime();
    if (this.#isClosed || isPausing || this.#running.has(key) || this.#ended.has(key)) return;
    const run = async () => {
      try {
        await work();
        this.#failures.delete(key);
      } catch (error) {
        this.#recordFailure(key, error);
      } finally {
        this.#running.delete(key);
        this.#ended.add(key);
        this.#onEnd();
      }
    };
    this.#running.set(key, run());
  }

  failureOf(key: string): TaskFailure | undefined {
    return this.#failures.get(key);
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** When the next pause ends (ms). */
  nextRetry(now: number): number {
    const times = [...this.#failures.values()].map((failure) => failure.retryAt).filter((time) => time > now);
    return Math.min(Number.POSITIVE_INFINITY, ...times);
  }

  /** Begins nothing more and waits for what runs. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#running.values());
  }

  #recordFailure(key: string, error: unknown): void {
    const before = this.#failures.get(key);
    const count = (before?.count ?? 0) + 1;
    const pause = Math.min(firstPauseMs * 2 ** (count - 1), longestPauseMs);
    const nowMs = this.#clock.now().getTime();
    const sinceMs = before?.sinceMs ?? nowMs;
    this.#failures.set(key, { error, count, sinceMs, lastedMs: nowMs - sinceMs, retryAt: nowMs + pause });
    this.#logger.warn('step failed', { step: key, attempt: count, error });
  }
}
