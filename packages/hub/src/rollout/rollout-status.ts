import {
  type Condition,
  type RolloutPhase,
  type RolloutStatus,
  type SiteCounts,
  type WaveStatus,
} from '@selvedge/api';
import { withCondition } from './conditions.ts';
import type { RolloutInput, SiteFacts, SiteFailure } from './rollout-input.ts';
import { isAssigned, type SiteVerdict } from './site-verdict.ts';
import { type ResolvedWave, sitesToDraw } from './wave-plan.ts';
import { counted } from './counted.ts';

/** What the planner found, for putting into words. */
export interface PlannedState {
  readonly input: RolloutInput;
  readonly waves: readonly ResolvedWave[];
  readonly members: readonly (readonly SiteFacts[])[];
  /** Selected sites that no wave has drawn yet. */
  readonly candidates: readonly SiteFacts[];
  /** How many waves have passed. */
  readonly passed: number;
  readonly verdictOf: (site: SiteFacts) => SiteVerdict;
  /** Of sites whose wave has begun: what the budget counts. */
  readonly failures: readonly SiteFailure[];
  readonly allowedFailures: number;
  readonly isExceeded: boolean;
}

/** So many failures are named in status; their number is always told. */
const failuresInStatus = 20;
const namesInMessage = 3;

export function rolloutStatus(state: PlannedState): RolloutStatus {
  const { input } = state;
  const failures = [...state.failures, ...failuresAhead(state)];
  const phase = phaseOf(state);
  const waves = waveStatuses(state);
  const sites = countSites(state);
  const completionTime = phase === 'Completed' ? (input.status?.completionTime ?? iso(input.now)) : undefined;
  return {
    phase,
    message: messageOf(state, { phase, waves, sites }),
    startTime: input.status?.startTime ?? iso(input.now),
    ...(completionTime === undefined ? {} : { completionTime }),
    waves,
    sites,
    ...(failures.length > 0 ? { failures: failures.slice(0, failuresInStatus) } : {}),
    conditions: conditionsOf(state, phase),
  };
}

function phaseOf(state: PlannedState): RolloutPhase {
  if (state.passed === state.waves.length) return 'Completed';
  return state.isExceeded || state.input.isPaused ? 'Paused' : 'Progressing';
}

/** Sites of later waves of which it is known already that the release cannot go there. */
function failuresAhead({ candidates, verdictOf }: PlannedState): SiteFailure[] {
  return candidates.flatMap((site) => {
    const verdict = verdictOf(site);
    return verdict.verdict === 'failed'
      ? [{ site: site.name, reason: verdict.reason, message: verdict.message }]
      : [];
  });
}

function countSites({ input, members, candidates, verdictOf }: PlannedState): SiteCounts {
  const counts: SiteCounts = {
    wanted: input.sites.length,
    running: 0,
    progressing: 0,
    failed: 0,
    away: 0,
    waiting: 0,
  };
  const buckets = { succeeded: 'running', failed: 'failed', away: 'away' } as const;
  const add = (site: SiteFacts, hasBegun: boolean) => {
    const { verdict } = verdictOf(site);
    if (verdict !== 'pending') counts[buckets[verdict]] += 1;
    else counts[hasBegun || isAssigned(input.rows.get(site.name), input) ? 'progressing' : 'waiting'] += 1;
  };
  for (const site of members.flat()) add(site, true);
  for (const site of candidates) add(site, false);
  return counts;
}

function waveStatuses(state: PlannedState): WaveStatus[] {
  const { waves, members, candidates } = state;
  let reached = members.flat().length;
  let left = candidates.length;
  const total = state.input.sites.length;
  return waves.map((wave, index) => {
    const own = members[index] ?? [];
    if (own.length > 0 || index < state.passed) return begunWave(state, wave, index);
    const forecast = sitesToDraw(wave, { total, reached, own: 0, left });
    reached += forecast;
    left -= forecast;
    return {
      name: wave.name,
      phase: 'Waiting',
      sites: forecast,
      succeeded: 0,
      pending: 0,
      failed: 0,
      away: 0,
    };
  });
}

function begunWave(state: PlannedState, wave: ResolvedWave, index: number): WaveStatus {
  const { input, passed } = state;
  const now = iso(input.now);
  const previous = input.status?.waves?.find((w) => w.name === wave.name);
  const own = state.members[index] ?? [];
  const counts = { succeeded: 0, pending: 0, failed: 0, away: 0 };
  let lastHealthy: number | undefined;
  for (const site of own) {
    const verdict = state.verdictOf(site);
    counts[verdict.verdict] += 1;
    if (verdict.verdict === 'succeeded') lastHealthy = Math.max(lastHealthy ?? 0, verdict.since);
  }
  const hasPassed = index < passed;
  const isHealthy = counts.pending === 0 && !state.isExceeded && lastHealthy !== undefined;
  const healthySince = hasPassed ? previous?.healthySince : undefined;
  const since = healthySince ?? (isHealthy && lastHealthy !== undefined ? iso(lastHealthy) : undefined);
  return {
    name: wave.name,
    phase: hasPassed ? 'Passed' : isHealthy && wave.soakSeconds > 0 ? 'Soaking' : 'Progressing',
    sites: own.length,
    ...counts,
    startTime: previous?.startTime ?? now,
    ...(since === undefined ? {} : { healthySince: since }),
    ...(hasPassed ? { passTime: previous?.passTime ?? now } : {}),
  };
}

function messageOf(
  state: PlannedState,
  { phase, waves, sites }: { phase: RolloutPhase; waves: WaveStatus[]; sites: SiteCounts },
): string {
  if (phase === 'Completed') return completedMessage(sites);
  if (state.isExceeded) return budgetMessage(state);
  if (phase === 'Paused') return 'paused in the Application: set spec.paused to false to go on';
  if (sites.wanted === 0) return 'no site matches the placement; the first that does begins the rollout';
  const wave = waves[state.passed];
  const own = state.members[state.passed] ?? [];
  if (!wave) return '';
  if (wave.phase === 'Soaking') {
    const end = Date.parse(wave.healthySince ?? '') + (state.waves[state.passed]?.soakSeconds ?? 0) * 1000;
    const rest = Math.max(0, (end - state.input.now) / 1000);
    if (rest > 0) return `wave ${wave.name} is healthy and soaks until ${iso(end)}`;
  }
  const pending = own.filter((site) => state.verdictOf(site).verdict === 'pending').map((site) => site.name);
  if (pending.length > 0) return `wave ${wave.name} waits for ${someOf(pending)}`;
  return `wave ${wave.name}: no site is in touch; the first one to come back tries the release`;
}

function completedMessage({ wanted, running, progressing, failed, away }: SiteCounts): string {
  const parts = [`runs at ${running} of ${counted(wanted, 'site')}`];
  if (progressing > 0) parts.push(`${progressing} on the way`);
  if (failed > 0) parts.push(`${failed} failed`);
  if (away > 0) parts.push(`${away} away, to catch up on return`);
  return parts.join('; ');
}

function budgetMessage({ failures, allowedFailures }: PlannedState): string {
  const named = failures.map(({ site, reason, message }) => `${site} (${reason}: ${message})`);
  return `${counted(failures.length, 'site')} failed, the budget allows ${allowedFailures}: ${someOf(named)}; it goes on when they recover, or with a new release`;
}

function someOf(names: readonly string[]): string {
  const more = names.length - namesInMessage;
  return names.slice(0, namesInMessage).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function conditionsOf(state: PlannedState, phase: RolloutPhase): Condition[] {
  const now = iso(state.input.now);
  const progressing: Record<RolloutPhase, Pick<Condition, 'status' | 'reason' | 'message'>> = {
    Progressing: { status: 'True', reason: 'WavesGoOut', message: 'Waves go out one after the other.' },
    Completed: { status: 'False', reason: 'Completed', message: 'Every wave has passed.' },
    Paused: state.isExceeded
      ? { status: 'False', reason: 'BudgetExceeded', message: 'More sites failed than the budget allows.' }
      : { status: 'False', reason: 'Paused', message: 'The Application says spec.paused: true.' },
    Superseded: { status: 'False', reason: 'Superseded', message: 'A newer rollout took over.' },
  };
  const completed =
    phase === 'Completed'
      ? ({ status: 'True', reason: 'Completed', message: 'Every wave has passed.' } as const)
      : ({ status: 'False', reason: phase, message: 'Not every wave has passed.' } as const);
  let conditions: readonly Condition[] = state.input.status?.conditions ?? [];
  conditions = withCondition(conditions, { type: 'Progressing', ...progressing[phase] }, now);
  return [...withCondition(conditions, { type: 'Completed', ...completed }, now)];
}

function iso(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
