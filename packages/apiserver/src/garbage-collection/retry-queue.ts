import type { Clock } from '@selvedge/api';

export interface RetryQueueOptions {
  readonly work: (key: string) => Promise<void>;
  readonly onError: (key: string, error: unknown) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const workers = 8;
const firstPauseMs = 50;
const longestPauseMs = 60_000;

/** Keys to work on, each by one worker at a time and once however often it was added; what fails is tried again later. */
export class RetryQueue {
  readonly #o: RetryQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #active = new Set<string>();
  readonly #failures = new Map<string, number>();
  #wake: () => void = () => {};

  constructor(options: RetryQueueOptions) {
    this.#o = options;
    options.signal.addEventListener('abort', () => this.#wake(), { once: true });
  }

  add(key: string): void {
    this.#waiting.add(key);
    this.#wake();
  }

  /** Works until the signal fires; what is under way then is finished. */
  async run(): Promise<void> {
    const { signal } = this.#o;
    while (!signal.aborted) {
      const key = this.#active.size < workers ? this.#next() : undefined;
      if (key !== undefined) this.#start(key);
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
    while (this.#active.size > 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** One that is being worked on waits: what was added meanwhile may have come after it looked. */
  #next(): string | undefined {
    for (const key of this.#waiting) if (!this.#active.has(key)) return key;
    return undefined;
  }

  #start(key: string): void {
    this.#waiting.delete(key);
    this.#active.add(key);
    const done = this.#o.work(key).then(
      () => this.#failures.delete(key),
      (error: unknown) => {
        this.#o.onError(key, error);
        this.#later(key);
      },
    );
    void done.finally(() => {
      this.#active.delete(key);
      this.#wake();
    });
  }

  #later(key: string): void {
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const { clock, signal } = this.#o;
    const pause = Math.min(firstPauseMs * 2 ** (failures - 1), longestPauseMs) * (0.75 + Math.random() / 2);
    void clock.sleep(pause, signal).then(() => {
      if (!signal.aborted) this.add(key);
    });
  }
}
