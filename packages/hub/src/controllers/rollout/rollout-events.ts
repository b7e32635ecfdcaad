import type { RolloutStatus } from '@selvedge/api';
import type { EventFacts } from '../event/event-recorder.ts';
import { counted } from '../../rollout/counted.ts';

/** What happened between two states of a rollout, told of its Application. Pure. */
export function rolloutEvents(
  rollout: { name: string; release: string },
  before: RolloutStatus | undefined,
  after: RolloutStatus,
): EventFacts[] {
  const { name, release } = rollout;
  const events: EventFacts[] = [];
  const normal = (reason: string, message: string) => events.push({ type: 'Normal', reason, message });
  const warning = (reason: string, message: string) => events.push({ type: 'Warning', reason, message });

  if (before === undefined) {
    normal(
      'RolloutStarted',
      `Rollout ${name} brings release ${release} to ${counted(after.sites?.wanted ?? 0, 'site')}`,
    );
  }
  for (const wave of after.waves ?? []) {
    const was = before?.waves?.find((w) => w.name === wave.name)?.phase;
    if (wave.phase === 'Passed' && was !== 'Passed') {
      normal(
        'WavePassed',
        `Rollout ${name}: wave ${wave.name} passed with ${wave.succeeded} of ${counted(wave.sites, 'site')}`,
      );
    }
  }
  const known = new Set((before?.failures ?? []).map(({ site, reason }) => `${site}/${reason}`));
  for (const { site, reason, message } of after.failures ?? []) {
    if (!known.has(`${site}/${reason}`)) warning('DeliveryFailed', `Site ${site}: ${reason}: ${message}`);
  }
  if (after.phase !== before?.phase) {
    if (after.phase === 'Paused') warning('RolloutPaused', `Rollout ${name}: ${after.message ?? ''}`);
    if (after.phase === 'Completed') normal('RolloutCompleted', `Rollout ${name}: every wave has passed`);
    if (after.phase === 'Progressing' && before?.phase === 'Paused') {
      normal('RolloutResumed', `Rollout ${name} goes on`);
    }
  }
  return events;
}
