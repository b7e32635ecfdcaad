import type { Clock } from '@selvedge/api';
import { backoffMilliseconds } from './backoff.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Delay after the first failure of a key; doubles with each further one. */
  readonly minBackoffMilliseconds?: number;
  readonly maxBackoffMilliseconds?: number;
  readonly random?: () => number;
}

/**
 * Keys that want work. A key waits at most once, and is handed to one worker at a time: when it is added while a
 * worker has it, it comes again after `done`. Nothing is lost by merging, because a worker reads the newest state.
 */
export interface WorkQueue {
  add(key: string): void;
  /** Of several delayed adds of one key the earliest counts. */
  addAfter(key: string, milliseconds: number): void;
  /** Adds after the key's back-off and returns it in milliseconds; each call doubles the next one until `forget`. */
  addAfterFailure(key: string): number;
  /** The key succeeded: its back-off starts anew. */
  forget(key: string): void;
  failures(key: string): number;
  /** The next key, as soon as there is one; `undefined` after shutdown. Call `done` when finished with it. */
  take(): Promise<string | undefined>;
  done(key: string): void;
  /** Drops what waits, wakes every taker. Later adds are ignored. */
  shutdown(): void;
  /** Keys that wait for a worker, delayed ones not counted. */
  readonly length: number;
}

/** Longest delay that timers take; a key that comes early does no harm. */
const maxTimerMilliseconds = 2 ** 31 - 1;

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  return new KeyQueue(options);
}

class KeyQueue implements WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #active = new Set<string>();
  readonly #addedWhileActive = new Set<string>();
  readonly #delayed = new Map<string, { dueTime: number; cancel: AbortController }>();
  readonly #failures = new Map<string, number>();
  #takers: ((key: string | undefined) => void)[] = [];
  #isShutDown = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  get length(): number {
    return this.#waiting.size;
  }

  add(key: string): void {
    if (this.#isShutDown) return;
    if (this.#active.has(key)) {
      this.#addedWhileActive.add(key);
      return;
    }
    if (this.#waiting.has(key)) return;
    const taker = this.#takers.shift();
    if (taker === undefined) {
      this.#waiting.add(key);
    } else {
      this.#active.add(key);
      taker(key);
    }
  }

  addAfter(key: string, milliseconds: number): void {
    if (this.#isShutDown) return;
    if (!(milliseconds > 0)) {
      this.add(key);
      return;
    }
    const delay = Math.min(milliseconds, maxTimerMilliseconds);
    const dueTime = this.#options.clock.now().getTime() + delay;
    const present = this.#delayed.get(key);
    if (present !== undefined && present.dueTime <= dueTime) return;
    present?.cancel.abort();
    const cancel = new AbortController();
    this.#delayed.set(key, { dueTime, cancel });
    void this.#options.clock.sleep(delay, cancel.signal).then(() => {
      if (cancel.signal.aborted) return;
      this.#delayed.delete(key);
      this.add(key);
    });
  }

  addAfterFailure(key: string): number {
    const failures = this.failures(key);
    this.#failures.set(key, failures + 1);
    const delay = backoffMilliseconds(failures, {
      minMilliseconds: this.#options.minBackoffMilliseconds ?? 50,
      maxMilliseconds: this.#options.maxBackoffMilliseconds ?? 60_000,
      ...(this.#options.random ? { random: this.#options.random } : {}),
    });
    this.addAfter(key, delay);
    return delay;
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  take(): Promise<string | undefined> {
    if (this.#isShutDown) return Promise.resolve(undefined);
    for (const key of this.#waiting) {
      this.#waiting.delete(key);
      this.#active.add(key);
      return Promise.resolve(key);
    }
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(key: string): void {
    this.#active.delete(key);
    if (this.#addedWhileActive.delete(key)) this.add(key);
  }

  shutdown(): void {
    this.#isShutDown = true;
    this.#waiting.clear();
    this.#addedWhileActive.clear();
    this.#failures.clear();
    for (const { cancel } of this.#delayed.values()) cancel.abort();
    this.#delayed.clear();
    for (const taker of this.#takers) taker(undefined);
    this.#takers = [];
  }
}
