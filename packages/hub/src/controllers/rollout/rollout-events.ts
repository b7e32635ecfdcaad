import type { RolloutPhase, RolloutStatus, WaveStatus } from '@selvedge/api';
import { counted } from '../../rollout/counted.ts';
import type { EventFacts } from '../event/event-recorder.ts';

/** What happened between two states of a rollout, for people, in order. Pure. */
export function rolloutEvents(
  rollout: { name: string; release: string },
  before: RolloutStatus | undefined,
  after: RolloutStatus,
): EventFacts[] {
  return [
    ...beginning(rollout, before, after),
    ...(after.waves ?? []).flatMap((wave) =>
      waveEvents(
        rollout.name,
        before?.waves?.find((w) => w.name === wave.name),
        wave,
      ),
    ),
    ...newFailures(before, after),
    ...phaseEvents(rollout, before, after),
  ];
}

const normal = (reason: string, message: string): EventFacts => ({ type: 'Normal', reason, message });
const warning = (reason: string, message: string): EventFacts => ({ type: 'Warning', reason, message });

function beginning(
  { name, release }: { name: string; release: string },
  before: RolloutStatus | undefined,
  { sites }: RolloutStatus,
): EventFacts[] {
  if (before?.phase !== undefined) return [];
  return [
    normal(
      'RolloutStarted',
      `Rollout ${name} brings release ${release} to ${counted(sites?.wanted ?? 0, 'site')}`,
    ),
  ];
}

/** One look may find that a wave has gone through several phases at once. */
function waveEvents(rollout: string, before: WaveStatus | undefined, wave: WaveStatus): EventFacts[] {
  const say = (reason: string, what: string) =>
    normal(reason, `Rollout ${rollout}: wave ${wave.name} ${what}`);
  const entered = (phase: WaveStatus['phase']) => wave.phase === phase && before?.phase !== phase;
  const events: EventFacts[] = [];
  if (entered('AwaitingApproval')) {
    events.push(say('AwaitingApproval', 'begins when a person says so: "selvedge rollout promote"'));
  }
  if (wave.startTime !== undefined && before?.startTime === undefined) {
    events.push(say('WaveBegun', `has begun with ${counted(wave.sites, 'site')}`));
  }
  if (before?.phase === 'Preparing' && wave.activateTime !== undefined) {
    events.push(
      say('WavePrepared', `is prepared: ${wave.prepared + wave.succeeded} of ${counted(wave.sites, 'site')}`),
    );
  }
  // Without a stage of preparing a wave activates as it begins: that is told once.
  const isOwnStep = wave.activateTime !== wave.startTime && wave.activateTime !== before?.activateTime;
  if (wave.activateTime !== undefined && isOwnStep) {
    events.push(say('WaveActivated', `activates from ${wave.activateTime} on`));
  }
  if (entered('Passed')) {
    events.push(say('WavePassed', `passed with ${wave.succeeded} of ${counted(wave.sites, 'site')}`));
  }
  if (entered('Reverted')) {
    events.push(say('WaveReverted', `went back: ${wave.reverted} of ${counted(wave.sites, 'site')}`));
  }
  return events;
}

function newFailures(before: RolloutStatus | undefined, { failures }: RolloutStatus): EventFacts[] {
  const known = new Set((before?.failures ?? []).map(({ site, reason }) => `${site}/${reason}`));
  return (failures ?? [])
    .filter(({ site, reason }) => !known.has(`${site}/${reason}`))
    .map(({ site, reason, message }) => warning('DeliveryFailed', `Site ${site}: ${reason}: ${message}`));
}

const stopped: ReadonlySet<RolloutPhase | undefined> = new Set(['Paused', 'Aborted']);

function phaseEvents(
  { name, release }: { name: string; release: string },
  before: RolloutStatus | undefined,
  { phase, message = '', breach }: RolloutStatus,
): EventFacts[] {
  const events: EventFacts[] = [];
  if (breach !== undefined && before?.breach === undefined) {
    events.push(
      warning(breach.reason, `Rollout ${name}: ${breach.message}`),
      warning(
        'ReleaseCondemned',
        `Release ${release} failed in Rollout ${name} and is offered to nobody until it is lifted`,
      ),
    );
  }
  if (phase === before?.phase) return events;
  switch (phase) {
    case 'Paused':
      return [...events, warning('RolloutPaused', `Rollout ${name}: ${message}`)];
    case 'Progressing':
      return stopped.has(before?.phase)
        ? [...events, normal('RolloutResumed', `Rollout ${name} goes on`)]
        : events;
    case 'Completed':
      return [...events, normal('RolloutCompleted', `Rollout ${name}: every wave has passed`)];
    case 'Reverting':
      return [...events, warning('RolloutReverting', `Rollout ${name}: ${message}`)];
    case 'Reverted':
      return [...events, normal('RolloutReverted', `Rollout ${name}: ${message}`)];
    case 'Aborted':
      return [...events, warning('RolloutAborted', `Rollout ${name}: ${message}`)];
    case 'Blocked':
      return [...events, warning('RolloutBlocked', `Rollout ${name}: ${message}`)];
    case 'Superseded':
      return [...events, normal('RolloutSuperseded', `Rollout ${name}: ${message}`)];
    default:
      return events;
  }
}
