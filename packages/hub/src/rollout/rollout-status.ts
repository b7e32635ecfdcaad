import type { RolloutStatus, SiteCounts } from '@selvedge/api';
import { failuresOf } from './budgets.ts';
import { evidenceOf, isComparable } from './evidence.ts';
import type { PlannedState } from './planned-state.ts';
import type { SiteFailure } from './rollout-input.ts';
import type { RolloutView } from './rollout-view.ts';
import type { SiteVerdict } from './site-verdict.ts';
import { messageOf } from './status-texts.ts';
import { waveStatuses } from './wave-status.ts';

/** So many failures are named in status; their number is always told. */
const failuresInStatus = 20;

/** Conditions are made from it by the controller. */
export function rolloutStatus(state: PlannedState): RolloutStatus {
  const { view, phase, breach, budgets } = state;
  const { input } = view;
  const now = new Date(input.now).toISOString();
  const waves = waveStatuses(state);
  const sites = countSites(view);
  const present = [...budgets.failures, ...budgets.blocked, ...failuresOf(view.board.undrawn, 'blocked')];
  // What led to a breach stays in the history, when all have long gone back.
  const failures = breach === undefined ? present : withPast(present, input.status?.failures);
  const isOver = phase === 'Completed' || phase === 'Reverted';
  const completionTime = input.status?.completionTime ?? (isOver ? now : undefined);
  const activation = (breach && input.status?.activation) ?? activationOf(view);
  return {
    phase,
    message: messageOf(state, { waves, sites }),
    startTime: input.status?.startTime ?? now,
    ...(completionTime === undefined ? {} : { completionTime }),
    waves,
    sites,
    ...(breach === undefined ? {} : { breach }),
    ...(activation === undefined ? {} : { activation }),
    ...(failures.length === 0 ? {} : { failures: failures.slice(0, failuresInStatus) }),
  };
}

function withPast(present: readonly SiteFailure[], past: readonly SiteFailure[] = []): SiteFailure[] {
  const known = new Set(past.map(({ site }) => site));
  return [...past, ...present.filter(({ site }) => !known.has(site))];
}

const bucketOf: Record<SiteVerdict['verdict'], Exclude<keyof SiteCounts, 'wanted' | 'waiting'>> = {
  succeeded: 'running',
  pending: 'progressing',
  prepared: 'prepared',
  held: 'held',
  failed: 'failed',
  blocked: 'failed',
  away: 'away',
  overdue: 'overdue',
};

function countSites(view: RolloutView): SiteCounts {
  const counts: SiteCounts = {
    wanted: view.input.sites.length,
    running: 0,
    progressing: 0,
    prepared: 0,
    held: 0,
    failed: 0,
    away: 0,
    overdue: 0,
    waiting: 0,
  };
  for (const { verdict, ownRow } of view.sites) {
    const isWaiting = verdict.verdict === 'pending' && ownRow === undefined;
    counts[isWaiting ? 'waiting' : bucketOf[verdict.verdict]] += 1;
  }
  return counts;
}

/** When sites switched, by their own account of this very assignment. */
function activationOf(view: RolloutView): RolloutStatus['activation'] {
  let first: string | undefined;
  let last: string | undefined;
  let sites = 0;
  for (const { ownRow } of view.sites) {
    const reported = ownRow === undefined ? undefined : evidenceOf(ownRow)?.activatedTime;
    const time = reported === undefined ? undefined : comparable(reported);
    if (time === undefined) continue;
    sites += 1;
    if (first === undefined || time < first) first = time;
    if (last === undefined || time > last) last = time;
  }
  return first === undefined || last === undefined ? undefined : { firstTime: first, lastTime: last, sites };
}

/** The instant in the form in which texts compare as instants do. */
function comparable(time: string): string | undefined {
  if (isComparable(time)) return time;
  const parsed = Date.parse(time);
  return Number.isNaN(parsed) ? undefined : new Date(parsed).toISOString();
}
