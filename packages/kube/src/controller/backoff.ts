export interface BackoffOptions {
  readonly minMilliseconds: number;
  readonly maxMilliseconds: number;
  /** 0 ≤ n < 1; `Math.random` unless a test wants to know. */
  readonly random?: () => number;
}

/** Exponential delay before attempt `failures + 1`, jittered down to half so that many do not return as one. */
export function backoffMilliseconds(failures: number, options: BackoffOptions): number {
  const full = Math.min(options.maxMilliseconds, options.minMilliseconds * 2 ** Math.min(failures, 30));
  const random = options.random ?? Math.random;
  return Math.round(full / 2 + (full / 2) * random());
}
