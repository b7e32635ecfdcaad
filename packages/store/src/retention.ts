import type { Clock, Logger } from '@selvedge/api';

/** A superseded state is forgotten when it is neither among the newest `revisions` nor younger than `milliseconds`. */
export interface RetentionPolicy {
  readonly revisions: number;
  readonly milliseconds: number;
  /** How often old states are looked for. */
  readonly intervalMilliseconds: number;
}

export const defaultRetention: RetentionPolicy = {
  revisions: 10_000,
  milliseconds: 10 * 60_000,
  intervalMilliseconds: 60_000,
};

/** Decides up to which revision a store may be compacted, from samples of the revision over time. */
export class RetentionWindow {
  readonly #policy: RetentionPolicy;
  #samples: { at: number; revision: number }[] = [];

  constructor(policy: RetentionPolicy) {
    this.#policy = policy;
  }

  /** Tells the window where the store is now; returns what may be forgotten, 0 for nothing. */
  observe(at: number, revision: number): number {
    // The clock was set back: nothing would count as old until it has caught up, so ages are measured anew.
    if (at < (this.#samples.at(-1)?.at ?? 0)) this.#samples = [];
    this.#samples.push({ at, revision });
    const old = this.#samples.filter((sample) => at - sample.at >= this.#policy.milliseconds);
    const newestOld = old.at(-1);
    if (newestOld === undefined) return 0;
    this.#samples = this.#samples.slice(old.length - 1);
    return Math.max(0, Math.min(newestOld.revision, revision - this.#policy.revisions));
  }
}

/** Runs until the signal fires. `forget` may fail: the next round tries again. */
export async function forgetPeriodically(options: {
  policy: RetentionPolicy;
  clock: Clock;
  logger: Logger;
  signal: AbortSignal;
  currentRevision: () => number;
  forget: (revision: number) => Promise<void>;
}): Promise<void> {
  const { policy, clock, logger, signal } = options;
  const window = new RetentionWindow(policy);
  while (!signal.aborted) {
    const revision = window.observe(clock.now().getTime(), options.currentRevision());
    try {
      if (revision > 0) await options.forget(revision);
    } catch (error) {
      if (!signal.aborted) logger.warn('compaction failed', { error, revision });
    }
    await clock.sleep(policy.intervalMilliseconds * (0.9 + Math.random() * 0.2), signal);
  }
}
