import type {
  Application,
  ApplicationStatus,
  Condition,
  Release,
  Rollout,
  RolloutPhase,
} from '@selvedge/api';
import { withCondition } from '../../rollout/conditions.ts';
import type { ReleaseFault } from './check-release.ts';

type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;
/** Of the condition `ImagesResolved`. */
export type ImagesCondition = Finding;

/**
 * What the Application says of itself; the counters are filled in when it is read. Conditions hold no counts, so that they
 * change when the state does. What others keep in the status stays.
 */
export function applicationStatus(
  application: Application,
  made: {
    release: Release;
    rollout: Rollout;
    approvedRelease: string | undefined;
    images: ImagesCondition | undefined;
  },
  now: string,
): ApplicationStatus {
  const { release, rollout, approvedRelease, images } = made;
  const { approvedRelease: _, images: lookedUp, ...present } = storedStatus(application);
  const released = {
    type: 'Released',
    status: 'True',
    reason: 'ReleaseMade',
    message: `Release ${release.metadata.name} holds the present content.`,
  } as const;
  return {
    ...present,
    observedGeneration: application.metadata.generation ?? 0,
    release: release.metadata.name,
    rollout: rollout.metadata.name,
    ...(approvedRelease === undefined ? {} : { approvedRelease }),
    ...(images === undefined || lookedUp === undefined ? {} : { images: lookedUp }),
    conditions: withFindings(
      application,
      [
        released,
        available(rollout),
        progressing(rollout),
        degraded(rollout),
        condemned(release),
        ...(images === undefined ? [] : [images]),
      ],
      now,
    ).filter(({ type }) => images !== undefined || type !== 'ImagesResolved'),
  };
}

/** The present content gives no release; what went out before stays. */
export function unreleasedStatus(
  application: Application,
  { fault, images }: { readonly fault: ReleaseFault; readonly images?: ImagesCondition },
  now: string,
): ApplicationStatus {
  const released = { type: 'Released', status: 'False', ...fault } as const;
  return {
    ...storedStatus(application),
    observedGeneration: application.metadata.generation ?? 0,
    conditions: withFindings(application, images === undefined ? [released] : [released, images], now),
  };
}

/** Without what is filled in when it is read. */
export function storedStatus({ status }: Application): ApplicationStatus {
  const { sites: _sites, phase: _phase, ...stored } = status ?? {};
  return stored;
}

function withFindings(application: Application, findings: readonly Finding[], now: string): Condition[] {
  const observedGeneration = application.metadata.generation ?? 0;
  return findings.reduce<Condition[]>(
    (conditions, finding) => withCondition(conditions, { ...finding, observedGeneration }, now),
    [...(application.status?.conditions ?? [])],
  );
}

function available({ metadata, status }: Rollout): Finding {
  const type = 'Available';
  if (status?.phase !== 'Completed') {
    return {
      type,
      status: 'False',
      reason: unavailableReasons[status?.phase ?? 'Progressing'],
      message: `Rollout ${metadata.name} has not brought the newest release to every wave: see its message.`,
    };
  }
  if (isFailing(status)) {
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

const unavailableReasons: Readonly<Record<RolloutPhase, string>> = {
  Progressing: 'RolloutInProgress',
  Paused: 'RolloutPaused',
  Completed: 'RolloutCompleted',
  Reverting: 'RolloutReverting',
  Reverted: 'RolloutReverted',
  Aborted: 'RolloutAborted',
  Blocked: 'ReleaseCondemned',
  Superseded: 'RolloutInProgress',
};

function progressing({ metadata, status }: Rollout): Finding {
  const type = 'Progressing';
  const phase = status?.phase ?? 'Progressing';
  const { name } = metadata;
  if (phase === 'Progressing') {
    return { type, status: 'True', reason: 'RolloutInProgress', message: `Rollout ${name} is on its way.` };
  }
  if (phase === 'Reverting') {
    return {
      type,
      status: 'True',
      reason: 'RolloutReverting',
      message: `Rollout ${name} is being taken back.`,
    };
  }
  const reason = unavailableReasons[phase];
  return { type, status: 'False', reason, message: `Rollout ${name} is ${phase.toLowerCase()}.` };
}

function degraded({ metadata, status }: Rollout): Finding {
  const type = 'Degraded';
  if (!isFailing(status)) {
    return { type, status: 'False', reason: 'NoSiteFails', message: 'No site says that it fails.' };
  }
  const message = `The newest release fails at some sites: see the failures of Rollout ${metadata.name}.`;
  return { type, status: 'True', reason: 'SitesFailing', message };
}

function condemned({ metadata, status }: Release): Finding {
  const type = 'ReleaseCondemned';
  const { name } = metadata;
  const verdict = status?.condemned;
  if (verdict === undefined) {
    return { type, status: 'False', reason: 'NotCondemned', message: `Release ${name} may be offered.` };
  }
  return {
    type,
    status: 'True',
    reason: verdict.reason,
    message:
      `Release ${name} failed in Rollout ${verdict.rollout} and is offered to nobody: change the Application, ` +
      `or "selvedge rollout lift ${name}".`,
  };
}

const isFailing = (status: Rollout['status']): boolean => (status?.sites?.failed ?? 0) > 0;
