import { setImmediate } from 'node:timers/promises';
import type { Clock } from '@selvedge/api';

/** Time that only sleepers move: nobody waits, and all who share it see how long was slept. */
export class HastyClock implements Clock {
  #now = Date.parse('2026-03-01T12:00:00Z');

  now(): Date {
    return new Date(this.#now);
  }

  async sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    this.#now += Math.max(0, milliseconds);
    await setImmediate();
  }
}
