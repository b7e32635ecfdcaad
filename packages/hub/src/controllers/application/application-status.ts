import type { Application, ApplicationStatus, Condition, Release, Rollout } from '@selvedge/api';
import { withCondition } from '../../rollout/conditions.ts';

/** What the Application says of itself; the counters are filled in when it is read. */
export function applicationStatus(
  application: Application,
  made: { release: Release; rollout: Rollout },
  now: string,
): ApplicationStatus {
  const observedGeneration = application.metadata.generation ?? 0;
  const released = {
    type: 'Released',
    status: 'True',
    reason: 'ReleaseMade',
    message: `Release ${made.release.metadata.name} holds the present content.`,
    observedGeneration,
  } as const;
  let conditions: readonly Condition[] = application.status?.conditions ?? [];
  conditions = withCondition(conditions, released, now);
  conditions = withCondition(conditions, { ...available(made.rollout), observedGeneration }, now);
  return {
    observedGeneration,
    release: made.release.metadata.name,
    rollout: made.rollout.metadata.name,
    conditions: [...conditions],
  };
}

/** The present content gives no release; what went out before stays. */
export function unreleasedStatus(application: Application, fault: string, now: string): ApplicationStatus {
  const observedGeneration = application.metadata.generation ?? 0;
  const { sites: _sites, phase: _phase, ...status } = application.status ?? {};
  const released = { type: 'Released', status: 'False', reason: 'NameTaken', message: fault } as const;
  const conditions = withCondition(status.conditions ?? [], { ...released, observedGeneration }, now);
  return { ...status, observedGeneration, conditions };
}

type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

function available({ metadata, status }: Rollout): Finding {
  const type = 'Available';
  if (status?.phase !== 'Completed') {
    const reason = status?.conditions?.find((c) => c.type === 'Progressing')?.reason;
    return {
      type,
      status: 'False',
      reason: status?.phase === 'Paused' ? (reason ?? 'Paused') : 'RolloutInProgress',
      message: `Rollout ${metadata.name} has not brought the newest release to every wave: see its message.`,
    };
  }
  if ((status.sites?.failed ?? 0) > 0) {
    return {
      type,
      status: 'False',
      reason: 'SitesFailing',
      message: `The newest release fails at some sites: see the failures of Rollout ${metadata.name}.`,
    };
  }
  return {
    type,
    status: 'True',
    reason: 'RolloutCompleted',
    message: 'The newest release has gone out in every wave, and no site that is in touch fails.',
  };
}
