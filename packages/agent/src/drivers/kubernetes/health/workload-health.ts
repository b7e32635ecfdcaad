import type { KubeObject } from '@selvedge/api';
import type { ObjectHealth } from './object-health.ts';
import { findCondition, numberAt, type ObjectCondition, textAt, valueAt } from './read-fields.ts';

export const current: ObjectHealth = { status: 'Current' };

export function inProgress(reason: string, message: string): ObjectHealth {
  return { status: 'InProgress', reason, message };
}

/** Reason and message are those of the condition, as far as it has some. */
export function ofCondition(
  status: 'InProgress' | 'Failed',
  condition: ObjectCondition,
  otherwise: { reason: string; message: string },
): ObjectHealth {
  return {
    status,
    reason: condition.reason ?? otherwise.reason,
    message: condition.message ?? otherwise.message,
  };
}

/** One step of a rollout: it is done when `is` has reached `of`. */
interface Step {
  readonly is: number;
  readonly of: number;
  readonly reason: string;
  readonly what: string;
}

function firstUndone(steps: readonly Step[]): ObjectHealth | undefined {
  const step = steps.find(({ is, of }) => is < of);
  return step && inProgress(step.reason, `${step.is} of ${step.of} ${step.what}`);
}

const extraPods = (replicas: number, wanted: number): ObjectHealth | undefined =>
  replicas > wanted
    ? inProgress('ExtraPods', `${replicas - wanted} pods of before are still to end`)
    : undefined;

/** Controllers of workloads always say which generation they have seen. Before that, status speaks of nothing. */
function unseen(object: KubeObject): ObjectHealth | undefined {
  return numberAt(object, 'status.observedGeneration') === undefined
    ? inProgress('NotObserved', 'its controller has not looked at it yet')
    : undefined;
}

export function deploymentHealth(object: KubeObject): ObjectHealth {
  const progressing = findCondition(object, 'Progressing');
  if (progressing?.reason === 'ProgressDeadlineExceeded') {
    const { lastUpdateTime: since } = progressing;
    const failed = ofCondition('Failed', progressing, { reason: 'ProgressDeadlineExceeded', message: '' });
    return since === undefined ? failed : { ...failed, since };
  }
  const failure = findCondition(object, 'ReplicaFailure');
  const wanted = numberAt(object, 'spec.replicas') ?? 1;
  const status = (field: string): number => numberAt(object, `status.${field}`) ?? 0;
  const undone =
    unseen(object) ??
    firstUndone([
      { is: status('replicas'), of: wanted, reason: 'LessReplicas', what: 'pods are there' },
      { is: status('updatedReplicas'), of: wanted, reason: 'LessUpdated', what: 'pods are of this version' },
    ]) ??
    extraPods(status('replicas'), wanted) ??
    firstUndone([
      { is: status('availableReplicas'), of: wanted, reason: 'LessAvailable', what: 'pods are available' },
      { is: status('readyReplicas'), of: wanted, reason: 'LessReady', what: 'pods are ready' },
    ]);
  if (undone) {
    // Why there are too few pods is more telling than how many.
    return failure?.status === 'True'
      ? ofCondition('InProgress', failure, { reason: 'ReplicaFailure', message: '' })
      : undone;
  }
  // Without a deadline the controller writes no such condition.
  const hasDeadline = (numberAt(object, 'spec.progressDeadlineSeconds') ?? 2 ** 31 - 1) !== 2 ** 31 - 1;
  if (hasDeadline && !(progressing?.status === 'True' && progressing.reason === 'NewReplicaSetAvailable')) {
    return inProgress('ReplicaSetNotAvailable', 'its new pods are not available yet');
  }
  if (findCondition(object, 'Available')?.status !== 'True') {
    return inProgress('DeploymentNotAvailable', 'too few of its pods are available');
  }
  return current;
}

export function replicaSetHealth(object: KubeObject): ObjectHealth {
  const failure = findCondition(object, 'ReplicaFailure');
  if (failure?.status === 'True') {
    return ofCondition('InProgress', failure, { reason: 'ReplicaFailure', message: 'pods cannot be made' });
  }
  const wanted = numberAt(object, 'spec.replicas') ?? 1;
  const status = (field: string): number => numberAt(object, `status.${field}`) ?? 0;
  return (
    unseen(object) ??
    firstUndone([
      // A ReplicationController has it too.
      {
        is: status('fullyLabeledReplicas'),
        of: wanted,
        reason: 'LessLabelled',
        what: 'pods have all labels',
      },
      { is: status('availableReplicas'), of: wanted, reason: 'LessAvailable', what: 'pods are available' },
      { is: status('readyReplicas'), of: wanted, reason: 'LessReady', what: 'pods are ready' },
    ]) ??
    extraPods(status('replicas'), wanted) ??
    current
  );
}

/** With `OnDelete` people replace the pods: that they are of an older version is no matter then. */
export function statefulSetHealth(object: KubeObject): ObjectHealth {
  const wanted = numberAt(object, 'spec.replicas') ?? 1;
  const status = (field: string): number => numberAt(object, `status.${field}`) ?? 0;
  const undone =
    unseen(object) ??
    firstUndone([
      { is: status('replicas'), of: wanted, reason: 'LessReplicas', what: 'pods are there' },
      { is: status('readyReplicas'), of: wanted, reason: 'LessReady', what: 'pods are ready' },
    ]) ??
    extraPods(status('replicas'), wanted);
  if (undone) return undone;
  if (textAt(object, 'spec.updateStrategy.type') === 'OnDelete') return current;
  const partition = numberAt(object, 'spec.updateStrategy.rollingUpdate.partition');
  if (partition !== undefined && partition > 0) {
    const updated = { is: status('updatedReplicas'), of: Math.max(0, wanted - partition) };
    return (
      firstUndone([
        { ...updated, reason: 'PartitionRollout', what: 'pods above the partition are of this version' },
      ]) ?? current
    );
  }
  const undoneUpdate = firstUndone([
    { is: status('updatedReplicas'), of: wanted, reason: 'LessUpdated', what: 'pods are of this version' },
  ]);
  if (undoneUpdate) return undoneUpdate;
  // The controller makes them the same when the last pod was replaced.
  if (valueAt(object, 'status.currentRevision') !== valueAt(object, 'status.updateRevision')) {
    return inProgress('RevisionMismatch', 'the last pods are being replaced');
  }
  return current;
}

export function daemonSetHealth(object: KubeObject): ObjectHealth {
  const wanted = numberAt(object, 'status.desiredNumberScheduled');
  if (wanted === undefined) return inProgress('NotObserved', 'its controller has not looked at it yet');
  const status = (field: string): number => numberAt(object, `status.${field}`) ?? 0;
  const isOnDelete = textAt(object, 'spec.updateStrategy.type') === 'OnDelete';
  return (
    unseen(object) ??
    firstUndone([
      { is: status('currentNumberScheduled'), of: wanted, reason: 'LessCurrent', what: 'nodes have its pod' },
      {
        is: isOnDelete ? wanted : status('updatedNumberScheduled'),
        of: wanted,
        reason: 'LessUpdated',
        what: 'pods are of this version',
      },
      { is: status('numberAvailable'), of: wanted, reason: 'LessAvailable', what: 'pods are available' },
      { is: status('numberReady'), of: wanted, reason: 'LessReady', what: 'pods are ready' },
    ]) ??
    current
  );
}

/** Followed to its end; one that is suspended on purpose is as it should be. */
export function jobHealth(object: KubeObject): ObjectHealth {
  const isTrue = (type: string): boolean => findCondition(object, type)?.status === 'True';
  if (isTrue('Complete')) return current;
  for (const type of ['Failed', 'FailureTarget']) {
    const failed = findCondition(object, type);
    if (failed?.status === 'True') {
      return ofCondition('Failed', failed, { reason: 'JobFailed', message: 'the job has failed' });
    }
  }
  if (valueAt(object, 'spec.suspend') === true) {
    return isTrue('Suspended') ? current : inProgress('Suspending', 'its pods are being stopped');
  }
  if (textAt(object, 'status.startTime') === undefined) {
    return inProgress('JobNotStarted', 'the job has not started yet');
  }
  const status = (field: string): number => numberAt(object, `status.${field}`) ?? 0;
  const wanted = numberAt(object, 'spec.completions') ?? numberAt(object, 'spec.parallelism') ?? 1;
  const failed = status('failed') > 0 ? `, ${status('failed')} failed` : '';
  return inProgress('JobRunning', `${status('succeeded')} of ${wanted} pods are done${failed}`);
}
