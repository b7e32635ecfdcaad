import { formatDuration, parseDuration, type Rollout, type Wave, type WaveStatus } from '@selvedge/api';

/** How a wave of a rollout stands against what it has to meet before the next one begins. */
export interface Gate {
  readonly gate: 'Approval' | 'Prepare' | 'Activation' | 'Healthy' | 'MinSample' | 'Soak' | 'Budget';
  readonly isMet: boolean;
  /** For people: what is asked, and how much of it is missing. */
  readonly text: string;
}

/** As the hub takes it where the strategy says nothing. */
const defaultWaves: readonly Wave[] = [
  { name: 'canary', sites: 1 },
  { name: 'rest', percent: 100 },
];

/** The first wave that has not passed; absent: all have. */
export function openWave({ status }: Pick<Rollout, 'status'>): WaveStatus | undefined {
  return status?.waves?.find((wave) => wave.phase !== 'Passed' && wave.phase !== 'Reverted');
}

/** Pure: what this wave waits for, in the order in which it is met. */
export function gatesOf(rollout: Rollout, wave: WaveStatus, now: Date): Gate[] {
  const { strategy, waivedWaves } = rollout.spec;
  const planned = (strategy.waves ?? defaultWaves).find(({ name }) => name === wave.name);
  if (wave.phase === 'AwaitingApproval') {
    const text = `a person lets it begin: selvedge rollout promote ${rollout.metadata.name}`;
    return [{ gate: 'Approval', isMet: false, text }];
  }
  if (wave.phase === 'Passed' || wave.phase === 'Reverting' || wave.phase === 'Reverted') return [];
  const isWaived = waivedWaves?.includes(wave.name) === true;
  const gates = [
    ...prepareGate(rollout, wave, isWaived),
    ...activationGate(rollout, wave, now),
    healthyGate(wave),
    ...sampleGate(planned, wave, isWaived),
    ...soakGate(planned, wave, { now, isWaived }),
  ];
  return [...gates, ...budgetGate(rollout, planned, wave)];
}

/** Sites that may be waited for. */
function inTouch(wave: WaveStatus): number {
  return wave.sites - wave.away - wave.held;
}

function prepareGate({ spec }: Rollout, wave: WaveStatus, isWaived: boolean): Gate[] {
  const { prepare } = spec.strategy;
  if (prepare === undefined || wave.activateTime !== undefined) return [];
  const threshold = prepare.threshold ?? '100%';
  const needed = Math.max(1, Math.ceil((inTouch(wave) * Number.parseInt(threshold, 10)) / 100));
  const have = wave.prepared + wave.succeeded;
  const missing = Math.max(0, needed - have);
  const text = isWaived
    ? 'the prepare threshold was waived by a person'
    : inTouch(wave) === 0
      ? `${threshold} of those in touch have it prepared: none is in touch`
      : `${threshold} of the ${inTouch(wave)} in touch have it prepared: ${have} have${missing === 0 ? '' : `, ${missing} more needed`}`;
  return [{ gate: 'Prepare', isMet: isWaived || missing === 0, text }];
}

function activationGate({ spec }: Rollout, wave: WaveStatus, now: Date): Gate[] {
  const { activate } = spec.strategy;
  if (activate?.when === 'At' && activate.at !== undefined) {
    const rest = (Date.parse(activate.at) - now.getTime()) / 1000;
    const text =
      rest > 0
        ? `the instant ${activate.at}, in ${formatDuration(rest)}`
        : `the instant ${activate.at} has come`;
    return [{ gate: 'Activation', isMet: rest <= 0, text }];
  }
  if (wave.prepared === 0 || wave.phase === 'Preparing') return [];
  const text = `${wave.prepared} prepared ${wave.prepared === 1 ? 'site waits' : 'sites wait'} to switch: for a window, a hold, or their turn`;
  return [{ gate: 'Activation', isMet: false, text }];
}

function healthyGate(wave: WaveStatus): Gate {
  const open = wave.pending + wave.prepared;
  const parts = [`${wave.succeeded} of ${wave.sites} run it`];
  if (open > 0) parts.push(`${open} still to answer`);
  if (wave.failed > 0) parts.push(`${wave.failed} failed`);
  const silent = wave.away + wave.held;
  if (silent > 0) parts.push(`${silent} away or held, not waited for`);
  return {
    gate: 'Healthy',
    isMet: open === 0 && wave.failed === 0 && wave.succeeded > 0,
    text: parts.join(', '),
  };
}

function sampleGate(planned: Wave | undefined, wave: WaveStatus, isWaived: boolean): Gate[] {
  const asked = planned?.minSample ?? 1;
  const wanted =
    typeof asked === 'number' ? asked : Math.ceil((wave.sites * Number.parseInt(asked, 10)) / 100);
  const needed = Math.max(1, Math.min(wanted, wave.sites));
  // One is always asked for: that is worth a word only when nobody is left who could be the one.
  if (needed <= 1 && wave.succeeded + wave.pending + wave.prepared > 0) return [];
  const missing = Math.max(0, needed - wave.succeeded);
  const text = isWaived
    ? 'minSample was waived by a person'
    : `at least ${needed} must prove it to the end of the soak: ${missing === 0 ? 'enough run it' : `${missing} more needed`}`;
  return [{ gate: 'MinSample', isMet: isWaived || missing === 0, text }];
}

function soakGate(
  planned: Wave | undefined,
  wave: WaveStatus,
  { now, isWaived }: { now: Date; isWaived: boolean },
): Gate[] {
  const seconds = parseDuration(planned?.soak ?? '0s') ?? 0;
  if (seconds === 0) return [];
  if (isWaived) return [{ gate: 'Soak', isMet: true, text: 'the soak was waived by a person' }];
  const end = soakEnd(planned, wave);
  if (end === undefined) {
    return [
      { gate: 'Soak', isMet: false, text: `soaks for ${formatDuration(seconds)} once all of it is healthy` },
    ];
  }
  const rest = (end.getTime() - now.getTime()) / 1000;
  const text = rest > 0 ? `it soaks for another ${formatDuration(rest)}` : 'the soak is over';
  return [{ gate: 'Soak', isMet: rest <= 0, text }];
}

/** End of a wave's soak; absent while not all of it is healthy. */
export function soakEnd(planned: Wave | undefined, wave: WaveStatus): Date | undefined {
  if (wave.healthySince === undefined) return undefined;
  return new Date(Date.parse(wave.healthySince) + (parseDuration(planned?.soak ?? '0s') ?? 0) * 1000);
}

function budgetGate({ spec, status }: Rollout, planned: Wave | undefined, wave: WaveStatus): Gate[] {
  const selected = status?.sites?.wanted ?? wave.sites;
  const failed = (status?.waves ?? []).reduce((sum, { failed: count }) => sum + count, 0);
  const whole = budgetOf(spec.strategy.budget?.failed ?? 0, selected);
  const own = planned?.budget === undefined ? undefined : budgetOf(planned.budget.failed ?? 0, wave.sites);
  if (failed === 0) return [];
  const ofWave = own === undefined ? '' : `; ${wave.failed} in this wave, of ${own}`;
  const isMet = failed <= whole && (own === undefined || wave.failed <= own);
  return [{ gate: 'Budget', isMet, text: `${failed} failed in all, of ${whole} that may${ofWave}` }];
}

function budgetOf(failed: number | string, sites: number): number {
  return typeof failed === 'number' ? failed : Math.floor((sites * Number.parseInt(failed, 10)) / 100);
}

/** The plan of a wave, by its name. */
export function plannedWave({ spec }: Rollout, name: string): Wave | undefined {
  return (spec.strategy.waves ?? defaultWaves).find((wave) => wave.name === name);
}
