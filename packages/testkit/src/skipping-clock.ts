import { systemClock } from '@selvedge/api/node';
import type { Clock } from '@selvedge/api';

interface Sleeper {
  readonly wakeAt: number;
  readonly wake: () => void;
}

/**
 * Time that flows as it does, and can be skipped: for whole hubs and agents that speak over true sockets, where long waits are
 * skipped and short ones happen. Everything that shares a story shares one clock.
 */
export class SkippingClock implements Clock {
  #skippedMs: number;
  readonly #sleepers = new Set<Sleeper>();

  /** @param start what the time is now. */
  constructor(start?: string) {
    this.#skippedMs = start === undefined ? 0 : Date.parse(start) - systemClock.now().getTime();
  }

  now(): Date {
    return new Date(systemClock.now().getTime() + this.#skippedMs);
  }

  /** For what measures waits by a monotonic clock: it sees the skipped time as well. */
  readonly monotonicMs = (): number => performance.now() + this.#skippedMs;

  /** How long the first of the sleepers still sleeps; `Infinity`: nobody does. */
  msUntilNextWake(): number {
    const now = this.now().getTime();
    return Math.min(...[...this.#sleepers].map(({ wakeAt }) => wakeAt - now));
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      const woken = new AbortController();
      const wake = () => {
        if (!this.#sleepers.delete(sleeper)) return;
        woken.abort();
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const sleeper = { wakeAt: this.now().getTime() + Math.max(0, milliseconds), wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', wake);
      void systemClock.sleep(milliseconds, woken.signal).then(wake);
    });
  }

  /** Moves time on by so much and wakes who slept until then. What they do then takes real time: wait for it. */
  skip(milliseconds: number): void {
    this.#skippedMs += milliseconds;
    const now = this.now().getTime();
    const due = [...this.#sleepers].filter((sleeper) => sleeper.wakeAt <= now);
    for (const sleeper of due.sort((a, b) => a.wakeAt - b.wakeAt)) sleeper.wake();
  }
}
