import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Calls `probe` until it gives something else than undefined. What it throws ends the wait, as the time-out does, with
 * what `why` says in the message; a probe that may fail
 * for a while returns undefined instead.
 */
export async function poll<T>(
  probe: () => Promise<T | undefined>,
  options: { seconds: number; what: string; everyMilliseconds?: number; why?: () => Promise<string> },
): Promise<T> {
  const end = performance.now() + options.seconds * 1000;
  const fail = async (problem: string): Promise<never> => {
    const why = options.why === undefined ? '' : `\n${await options.why()}`;
    throw new Error(`${options.what}: ${problem}${why}`);
  };
  for (;;) {
    const value = await probe().catch((error: unknown) =>
      fail(error instanceof Error ? error.message : String(error)),
    );
    if (value !== undefined) return value;
    if (performance.now() > end) return await fail(`not within ${options.seconds} s`);
    await sleep(options.everyMilliseconds ?? 100);
  }
}
