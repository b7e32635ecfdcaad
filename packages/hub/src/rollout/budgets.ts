import type { RolloutView } from './rollout-view.ts';
import type { SiteFailure } from './rollout-input.ts';
import type { SiteView } from './site-view.ts';

/** More went wrong than is allowed, in one wave or in all. */
export interface Excess {
  /** Whose sites made it so; of the whole: the latest wave that has any. */
  readonly wave: string;
  readonly isWhole: boolean;
  readonly allowed: number;
  readonly failures: readonly SiteFailure[];
}

export interface BudgetState {
  /** Of sites in a wave: where it failed. */
  readonly failures: readonly SiteFailure[];
  /** Of sites in a wave: those that cannot be given the release. */
  readonly blocked: readonly SiteFailure[];
  /** By failures alone: the release is bad. */
  readonly breach?: Excess;
  /** By failures and blocked sites: something is wrong, though not with the release. */
  readonly stop?: Excess;
}

/** Silence is in none of the counts. */
export function checkBudgets(view: RolloutView): BudgetState {
  const { board, strategy, input } = view;
  const byWave = board.waves.map((wave, index) => ({
    wave,
    allowed: wave.budget(board.members(index).length),
    failures: failuresOf(board.members(index), 'failed'),
    blocked: failuresOf(board.members(index), 'blocked'),
  }));
  const failures = byWave.flatMap((w) => w.failures);
  const blocked = byWave.flatMap((w) => w.blocked);
  const wholeAllowed = strategy.budget(input.sites.length);
  const excess = (kind: 'failed' | 'failed or blocked'): Excess | undefined => {
    const counted = (w: (typeof byWave)[number]) =>
      kind === 'failed' ? w.failures : [...w.failures, ...w.blocked];
    const own = byWave.find((w) => counted(w).length > w.allowed);
    if (own) return { wave: own.wave.name, isWhole: false, allowed: own.allowed, failures: counted(own) };
    const all = byWave.flatMap(counted);
    if (all.length <= wholeAllowed) return undefined;
    const wave = byWave.findLast((w) => counted(w).length > 0)?.wave.name ?? '';
    return { wave, isWhole: true, allowed: wholeAllowed, failures: all };
  };
  const breach = excess('failed');
  const stop = breach ?? excess('failed or blocked');
  return { failures, blocked, ...(breach ? { breach } : {}), ...(stop ? { stop } : {}) };
}

export function failuresOf(sites: readonly SiteView[], kind: 'failed' | 'blocked'): SiteFailure[] {
  const failures: SiteFailure[] = [];
  for (const { name, verdict } of sites) {
    if (verdict.verdict !== kind) continue;
    failures.push({ site: name, reason: verdict.reason, message: verdict.message });
  }
  return failures;
}
