/** Time, injected: nothing but `systemClock` reads the machine's clock, so tests can own it. */
export interface Clock {
  now(): Date;
  /** Resolves after `milliseconds`, or at once when the signal fires (it never rejects). */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}
