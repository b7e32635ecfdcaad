import type { Clock } from '../clock.ts';

/** Longest delay that timers take: beyond it they fire at once. */
const maxTimerMilliseconds = 2 ** 31 - 1;

/** A sleep of more than 24 days ends after 24 days: who waits for a moment looks at the time again. */
export const systemClock: Clock = {
  now: () => new Date(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) {
        resolve();
        return;
      }
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(milliseconds, maxTimerMilliseconds));
      signal?.addEventListener('abort', done);
    }),
};
