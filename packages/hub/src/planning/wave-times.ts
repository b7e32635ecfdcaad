import { formatDuration, type PlannedWave, type Rollout, type SitePolicy, windowState } from '@selvedge/api';
import type { ResolvedStrategy } from '../rollout/resolve-strategy.ts';
import { counted } from '../rollout/counted.ts';
import { plannedSites } from './planned-sites.ts';

export interface WaveSite {
  readonly name: string;
  readonly isAway: boolean;
  readonly isHeld: boolean;
  readonly policy: SitePolicy;
}

export interface ForecastWave {
  readonly name: string;
  readonly sites: readonly WaveSite[];
}

/** How long waves of earlier rollouts took, in seconds; absent: none tells. */
export interface TypicalTimes {
  readonly rollouts: number;
  readonly prepareSeconds?: number;
  /** From being let activate to being healthy. */
  readonly healthySeconds?: number;
}

/** The middle of what the waves of earlier rollouts of the application took; of all their waves that passed. */
export function typicalTimes(history: readonly Rollout[]): TypicalTimes {
  const passed = history.map((rollout) => ({
    prepares: rollout.spec.strategy.prepare !== undefined,
    waves: (rollout.status?.waves ?? []).filter((wave) => wave.phase === 'Passed'),
  }));
  const prepare: number[] = [];
  const healthy: number[] = [];
  for (const { prepares, waves } of passed) {
    for (const { startTime, activateTime, healthySince } of waves) {
      if (prepares) pushSeconds(prepare, startTime, activateTime);
      pushSeconds(healthy, activateTime ?? startTime, healthySince);
    }
  }
  const [prepareSeconds, healthySeconds] = [median(prepare), median(healthy)];
  return {
    rollouts: passed.filter(({ waves }) => waves.length > 0).length,
    ...(prepareSeconds === undefined ? {} : { prepareSeconds }),
    ...(healthySeconds === undefined ? {} : { healthySeconds }),
  };
}

/** When each wave may be expected to begin and to end, and what that rests on. Pure. */
export function waveTimes(
  waves: readonly ForecastWave[],
  strategy: ResolvedStrategy,
  { now, typical }: { now: Date; typical: TypicalTimes },
): PlannedWave[] {
  let begin: number | undefined = now.getTime();
  return waves.map((wave, index) => {
    const resolved = strategy.waves.find(({ name }) => name === wave.name);
    const basis: string[] = [];
    if (resolved?.isManual) {
      begin = undefined;
      basis.push('begins when a person approves it: selvedge rollout promote');
    }
    const steps = { wave, index, strategy, typical, basis };
    const end: number | undefined = begin === undefined ? undefined : endOf(steps, begin);
    const planned: PlannedWave = {
      name: wave.name,
      ...plannedSites(wave.sites.map(({ name }) => name)),
      away: wave.sites.filter(({ isAway }) => isAway).length,
      held: wave.sites.filter(({ isAway, isHeld }) => isHeld && !isAway).length,
      ...(begin === undefined ? {} : { expectedStartTime: new Date(begin).toISOString() }),
      ...(end === undefined ? {} : { expectedEndTime: new Date(end).toISOString() }),
      basis,
    };
    begin = end;
    return planned;
  });
}

interface Steps {
  readonly wave: ForecastWave;
  readonly index: number;
  readonly strategy: ResolvedStrategy;
  readonly typical: TypicalTimes;
  /** What the estimate rests on is added. */
  readonly basis: string[];
}

function endOf(steps: Steps, begin: number): number | undefined {
  const { wave, index, strategy, basis } = steps;
  const answering = wave.sites.filter(({ isAway, isHeld }) => !isAway && !isHeld);
  const silent = wave.sites.length - answering.length;
  if (answering.length === 0) {
    if (wave.sites.length === 0) basis.push('no site is left for it');
    else if (index > 0)
      basis.push('all its sites are away or held: it passes without them, and they catch up');
    else {
      basis.push('all its sites are away or held: it waits for the first that comes back');
      return undefined;
    }
    return begin;
  }
  if (silent > 0) basis.push(`${counted(silent, 'site')} away or held: not waited for, they catch up`);
  const prepared = preparedAt(steps, answering, begin);
  const activated = prepared === undefined ? undefined : activatedAt(steps, answering, prepared);
  if (activated === undefined) return undefined;
  const healthy = activated + healthyMilliseconds(steps, answering.length);
  const soakSeconds = strategy.waves.find(({ name }) => name === wave.name)?.soakSeconds ?? 0;
  if (soakSeconds > 0) basis.push(`soaks for ${formatDuration(soakSeconds)}`);
  return healthy + soakSeconds * 1000;
}

/** Without a prepare gate the time for it is part of what was measured, or of the deadline. */
function preparedAt(steps: Steps, sites: readonly WaveSite[], begin: number): number | undefined {
  const { strategy, typical, basis } = steps;
  const opens = lastOpening(sites, 'download', begin);
  if (opens === undefined) {
    basis.push('the download window of a site does not open within a year');
    return undefined;
  }
  if (opens.at > begin) basis.push(`the last download window opens at ${instant(opens.at)} (${opens.site})`);
  if (strategy.thresholdPercent === undefined) return opens.at;
  const seconds = typical.prepareSeconds ?? strategy.prepareSeconds;
  basis.push(
    typical.prepareSeconds === undefined
      ? `preparing: the whole deadline of ${formatDuration(seconds)}, as no earlier rollout tells`
      : `preparing: ${formatDuration(seconds)}, ${measured(typical)}`,
  );
  return opens.at + seconds * 1000;
}

function activatedAt(
  { strategy, basis }: Steps,
  sites: readonly WaveSite[],
  prepared: number,
): number | undefined {
  const { activate, activateAt } = strategy.activation;
  if (activate === 'At' && activateAt !== undefined) {
    const at = Date.parse(activateAt);
    basis.push(
      `activates at ${instant(at)}${at < prepared ? ', which is past: as soon as it is prepared' : ''}`,
    );
    return Math.max(at, prepared);
  }
  if (activate !== 'Window') return prepared;
  const opens = lastOpening(sites, 'activate', prepared);
  if (opens === undefined) {
    basis.push('the activate window of a site does not open within a year');
    return undefined;
  }
  if (opens.at > prepared) {
    basis.push(`the last activate window, or end of a blackout, is at ${instant(opens.at)} (${opens.site})`);
  }
  return opens.at;
}

function healthyMilliseconds({ wave, strategy, typical, basis }: Steps, sites: number): number {
  const resolved = strategy.waves.find(({ name }) => name === wave.name);
  const atOnce = Math.min(resolved?.maxConcurrent(wave.sites.length) ?? sites, sites);
  const rounds = strategy.activation.activate === 'At' ? 1 : Math.ceil(sites / Math.max(1, atOnce));
  const { deadlineSeconds } = strategy;
  // A measured time may have a window in it; no site takes longer than its deadline.
  const seconds = Math.min(typical.healthySeconds ?? deadlineSeconds, deadlineSeconds);
  const text = formatDuration(seconds);
  basis.push(
    typical.healthySeconds === undefined
      ? `getting healthy: the whole deadline of ${text}, as no earlier rollout tells`
      : `getting healthy: ${text}, ${measured(typical)}`,
  );
  if (rounds > 1) basis.push(`${atOnce} at a time: ${rounds} rounds`);
  return rounds * seconds * 1000;
}

function measured({ rollouts }: TypicalTimes): string {
  return `as in ${rollouts === 1 ? 'an earlier rollout' : `${rollouts} earlier rollouts`}`;
}

/** When the window of the last of the sites is open; sites of one policy are asked once. */
function lastOpening(
  sites: readonly WaveSite[],
  kind: 'download' | 'activate',
  from: number,
): { at: number; site: string } | undefined {
  let last = { at: from, site: '' };
  for (const [policy, site] of new Map(sites.map((site) => [site.policy, site.name]))) {
    const { isOpen, changesAt } = windowState(policy, kind, new Date(from));
    if (isOpen) continue;
    if (changesAt === undefined) return undefined;
    const at = Date.parse(changesAt);
    if (at > last.at) last = { at, site };
  }
  return last;
}

function instant(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
}

function pushSeconds(list: number[], from: string | undefined, to: string | undefined): void {
  const seconds = (Date.parse(to ?? '') - Date.parse(from ?? '')) / 1000;
  if (seconds >= 0) list.push(seconds);
}

function median(numbers: readonly number[]): number | undefined {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
