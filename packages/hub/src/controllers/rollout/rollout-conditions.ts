import type { Condition, RolloutPhase, RolloutStatus } from '@selvedge/api';
import { withCondition } from '../../rollout/conditions.ts';

type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

/**
 * What `kubectl wait --for=condition=…` can wait for, of a Rollout with this status: Progressing, Completed, Reverted,
 * AwaitingApproval. `present`: the conditions as they are stored. Messages hold no counts, so that they change when the state does.
 */
export function rolloutConditions(
  status: Omit<RolloutStatus, 'conditions'>,
  present: readonly Condition[] | undefined,
  now: string,
): Condition[] {
  const phase = status.phase ?? 'Progressing';
  const findings = [progressing(phase, status), completed(phase), reverted(phase, status), awaiting(status)];
  return findings.reduce<Condition[]>(
    (conditions, finding) => withCondition(conditions, finding, now),
    [...(present ?? [])],
  );
}

const progressingMessages: Readonly<Record<RolloutPhase, string>> = {
  Progressing: 'Waves go out one after the other.',
  Paused: 'Nothing more is offered or activated.',
  Completed: 'Every wave has passed.',
  Reverting: 'The release is condemned; sites go back to what they ran before.',
  Reverted: 'The release is condemned; sites went back to what they ran before.',
  Aborted: 'A person stopped it; sites keep what they have.',
  Blocked: 'The release was condemned before and is not offered: lift it to roll it out again.',
  Superseded: 'A newer rollout took over.',
};

function progressing(phase: RolloutPhase, { breach }: RolloutStatus): Finding {
  const type = 'Progressing';
  const message = progressingMessages[phase];
  if (phase === 'Progressing') return { type, status: 'True', reason: 'WavesGoOut', message };
  if (phase === 'Reverting') return { type, status: 'True', reason: breach?.reason ?? phase, message };
  return { type, status: 'False', reason: phase, message };
}

function completed(phase: RolloutPhase): Finding {
  const type = 'Completed';
  if (phase === 'Completed')
    return { type, status: 'True', reason: phase, message: 'Every wave has passed.' };
  return { type, status: 'False', reason: phase, message: 'Not every wave has passed.' };
}

function reverted(phase: RolloutPhase, { breach }: RolloutStatus): Finding {
  const type = 'Reverted';
  if (breach === undefined) {
    return { type, status: 'False', reason: 'NoBreach', message: 'No budget was exceeded.' };
  }
  const isDone = phase === 'Reverted';
  return { type, status: isDone ? 'True' : 'False', reason: breach.reason, message: breach.message };
}

function awaiting({ waves }: RolloutStatus): Finding {
  const type = 'AwaitingApproval';
  const wave = waves?.find((w) => w.phase === 'AwaitingApproval');
  if (wave === undefined) {
    return { type, status: 'False', reason: 'NoApprovalNeeded', message: 'No wave waits for a person.' };
  }
  const message = `Wave ${wave.name} begins when a person says so: "selvedge rollout promote".`;
  return { type, status: 'True', reason: 'WaveIsManual', message };
}
