import type { KubeObject } from '@selvedge/api';
import { findCondition, groupKind, numberAt, valueAt } from '../health/read-fields.ts';

export interface PodCounts {
  readonly wanted: number;
  readonly ready: number;
}

const none: PodCounts = { wanted: 0, ready: 0 };

/** Pods that a workload is to have, and those that are ready; of a job, those that have done their work count too. */
export function podCounts(object: KubeObject): PodCounts {
  const number = (path: string): number => numberAt(object, path) ?? 0;
  switch (groupKind(object)) {
    case 'apps/Deployment':
    case 'apps/StatefulSet':
    case 'apps/ReplicaSet':
    case '/ReplicationController':
      return { wanted: numberAt(object, 'spec.replicas') ?? 1, ready: number('status.readyReplicas') };
    case 'apps/DaemonSet':
      return { wanted: number('status.desiredNumberScheduled'), ready: number('status.numberReady') };
    case 'batch/Job': {
      if (valueAt(object, 'spec.suspend') === true) return none;
      const wanted = numberAt(object, 'spec.completions') ?? numberAt(object, 'spec.parallelism') ?? 1;
      return { wanted, ready: Math.min(wanted, number('status.ready') + number('status.succeeded')) };
    }
    case '/Pod': {
      const isDone = valueAt(object, 'status.phase') === 'Succeeded';
      return { wanted: 1, ready: isDone || findCondition(object, 'Ready')?.status === 'True' ? 1 : 0 };
    }
    default:
      return none;
  }
}

/** Kinds that have pods of their own. */
export const workloadKinds: ReadonlySet<string> = new Set([
  'apps/Deployment',
  'apps/StatefulSet',
  'apps/ReplicaSet',
  'apps/DaemonSet',
  '/ReplicationController',
  'batch/Job',
  '/Pod',
]);
