import { setImmediate } from 'node:timers/promises';
import type { Clock } from '@selvedge/api';

interface Sleeper {
  readonly wakeAt: number;
  readonly order: number;
  readonly wake: () => void;
}

/**
 * Time that stands still until a test moves it. `advance` wakes sleepers in the order of their time, and lets what they
 * set going run until it waits again, so work that a sleeper starts is done before the next one wakes.
 */
export class FakeClock implements Clock {
  #now: number;
  #order = 0;
  readonly #sleepers = new Set<Sleeper>();

  constructor(start: string | Date = '2026-01-01T00:00:00.000Z') {
    this.#now = new Date(start).getTime();
  }

  now(): Date {
    return new Date(this.#now);
  }

  /** How many callers sleep now. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      const wake = () => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const sleeper = { wakeAt: this.#now + Math.max(0, milliseconds), order: this.#order++, wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', wake);
    });
  }

  /** Moves time on, also past sleeps that begin on the way. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await settle();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.wakeAt);
      next.wake();
      await settle();
    }
    this.#now = end;
    await settle();
  }

  /** Sets the time without waking anybody: a machine whose clock is changed. */
  setTime(time: string | Date): void {
    this.#now = new Date(time).getTime();
  }

  #next(end: number): Sleeper | undefined {
    let first: Sleeper | undefined;
    for (const s of this.#sleepers) {
      if (s.wakeAt > end) continue;
      if (!first || s.wakeAt < first.wakeAt || (s.wakeAt === first.wakeAt && s.order < first.order))
        first = s;
    }
    return first;
  }
}

/** A few turns of the event loop: promises, then what they put off with setImmediate or local I/O. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await setImmediate();
}
