import type { WaveStatus } from '@selvedge/api';
import { forecastDraw } from './forecast-rollout.ts';
import { isApproved, isWaived } from './gates.ts';
import { isBack } from './rest.ts';
import type { RolloutView } from './rollout-view.ts';
import type { PlannedState } from './planned-state.ts';
import type { SiteView } from './site-view.ts';

type WaveCounts = Pick<
  WaveStatus,
  'succeeded' | 'prepared' | 'pending' | 'held' | 'failed' | 'away' | 'reverted'
>;

export function waveStatuses(state: PlannedState): WaveStatus[] {
  const { board } = state.view;
  const hasBegun = (index: number) =>
    board.members(index).length > 0 ||
    index < state.passed ||
    state.view.before(board.waves[index]?.name)?.startTime !== undefined;
  const forecast = forecastDraw(board, (index) => !hasBegun(index));
  return board.waves.map((wave, index): WaveStatus => {
    if (hasBegun(index)) return begunWave(state, index);
    const isNext = index === state.passed && (state.phase === 'Progressing' || state.phase === 'Paused');
    return {
      name: wave.name,
      phase: isNext && !isApproved(state.view, index) ? 'AwaitingApproval' : 'Waiting',
      sites: forecast[index]?.length ?? 0,
      ...noCounts,
    };
  });
}

const noCounts: WaveCounts = {
  succeeded: 0,
  prepared: 0,
  pending: 0,
  held: 0,
  failed: 0,
  away: 0,
  reverted: 0,
};

function begunWave(state: PlannedState, index: number): WaveStatus {
  const { view, passed } = state;
  const { input, board, strategy } = view;
  const name = board.waves[index]?.name ?? '';
  const before = view.before(name);
  const now = new Date(input.now).toISOString();
  const sites = board.members(index);
  const counts = countWave(view, sites);
  const hasPassed = index < passed;
  const isHealthy =
    counts.pending + counts.prepared === 0 && state.budgets.stop === undefined && state.revert === undefined;
  const known = hasPassed ? before?.healthySince : undefined;
  const healthySince = known ?? (hasPassed || isHealthy ? lastHealthyOf(sites) : undefined);
  const at = strategy.activation.activateAt;
  const activateTime =
    before?.activateTime ??
    (state.isActive(index) || hasPassed ? laterOf(now, at === undefined ? now : at) : undefined);
  return {
    name,
    phase: phaseOf(state, index, {
      isSoaking: healthySince !== undefined,
      isActive: activateTime !== undefined,
    }),
    sites: sites.length,
    ...counts,
    startTime: before?.startTime ?? now,
    ...(activateTime === undefined ? {} : { activateTime }),
    ...(healthySince === undefined ? {} : { healthySince }),
    ...(hasPassed ? { passTime: before?.passTime ?? now } : {}),
  };
}

function phaseOf(
  state: PlannedState,
  index: number,
  { isSoaking, isActive }: { isSoaking: boolean; isActive: boolean },
): WaveStatus['phase'] {
  const { view, passed, revert } = state;
  if (revert !== undefined) return index > revert.wave ? 'Reverted' : 'Reverting';
  if (index < passed) return 'Passed';
  if (!isActive) return 'Preparing';
  const soakSeconds = view.board.waves[index]?.soakSeconds ?? 0;
  return isSoaking && soakSeconds > 0 && !isWaived(view, index) ? 'Soaking' : 'Progressing';
}

function countWave(view: RolloutView, sites: readonly SiteView[]): WaveCounts {
  const counts = { ...noCounts };
  for (const { row, verdict } of sites) {
    if (row !== undefined && row.digest !== view.input.release.digest && isBack(row)) counts.reverted += 1;
    else if (verdict.verdict === 'blocked') counts.failed += 1;
    else if (verdict.verdict === 'overdue') counts.away += 1;
    else counts[verdict.verdict] += 1;
  }
  return counts;
}

/** When the last of them became healthy. */
function lastHealthyOf(sites: readonly SiteView[]): string | undefined {
  let last: number | undefined;
  for (const { healthySince } of sites) {
    if (healthySince !== undefined && (last === undefined || healthySince > last)) last = healthySince;
  }
  return last === undefined ? undefined : new Date(last).toISOString();
}

function laterOf(a: string, b: string): string {
  return Date.parse(a) >= Date.parse(b) ? a : new Date(b).toISOString();
}
