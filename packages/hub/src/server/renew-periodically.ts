import type { Clock, Logger } from '@selvedge/api';

const checkMilliseconds = 12 * 3_600_000;

/**
 * Keeps certificates fresh while the hub runs, for months if need be. One that cannot be renewed does not keep the
 * others from it, and is tried again. Never rejects.
 */
export async function renewPeriodically(options: {
  /** Each renews one certificate when it is due. */
  readonly renewals: Readonly<Record<string, () => Promise<unknown>>>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { clock, random, signal } = options;
  for (;;) {
    await clock.sleep(checkMilliseconds * (0.9 + 0.2 * random()), signal);
    if (signal.aborted) return;
    for (const [certificate, renew] of Object.entries(options.renewals)) {
      try {
        await renew();
      } catch (error) {
        options.logger.error('certificate not renewed', { component: 'identity', certificate, error });
      }
    }
  }
}
