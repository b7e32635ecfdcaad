import type { KubeObject } from '@selvedge/api';
import type { ObjectHealth } from './object-health.ts';
import { findCondition, listAt, textAt } from './read-fields.ts';
import {
  current,
  daemonSetHealth,
  deploymentHealth,
  inProgress,
  jobHealth,
  ofCondition,
  replicaSetHealth,
  statefulSetHealth,
} from './workload-health.ts';

/**
 * Kinds of Kubernetes whose health is more than their usual conditions, by group and kind: the rules of kstatus, and these beyond it: a Job is followed to its
 * end; a bare Pod that failed has failed; a pod that finds no node just now has not failed; APIServices have to be available.
 */
export const builtInHealth: ReadonlyMap<string, (object: KubeObject) => ObjectHealth> = new Map([
  ['apps/Deployment', deploymentHealth],
  ['apps/ReplicaSet', replicaSetHealth],
  ['/ReplicationController', replicaSetHealth],
  ['apps/StatefulSet', statefulSetHealth],
  ['apps/DaemonSet', daemonSetHealth],
  ['batch/Job', jobHealth],
  ['/Pod', podHealth],
  ['/PersistentVolumeClaim', claimHealth],
  ['/Service', serviceHealth],
  ['/Namespace', namespaceHealth],
  ['apiextensions.k8s.io/CustomResourceDefinition', crdHealth],
  ['apiregistration.k8s.io/APIService', apiServiceHealth],
]);

/** Kinds that are as they should be as soon as they are there: nothing in their status tells more. Their body need not be read. */
export const healthyByExistence: ReadonlySet<string> = new Set([
  '/ConfigMap',
  '/Secret',
  '/ServiceAccount',
  '/LimitRange',
  '/ResourceQuota',
  '/Endpoints',
  'discovery.k8s.io/EndpointSlice',
  'rbac.authorization.k8s.io/Role',
  'rbac.authorization.k8s.io/RoleBinding',
  'rbac.authorization.k8s.io/ClusterRole',
  'rbac.authorization.k8s.io/ClusterRoleBinding',
  'networking.k8s.io/NetworkPolicy',
  'networking.k8s.io/Ingress',
  'networking.k8s.io/IngressClass',
  'autoscaling/HorizontalPodAutoscaler',
  'batch/CronJob',
  'storage.k8s.io/StorageClass',
  'scheduling.k8s.io/PriorityClass',
  'node.k8s.io/RuntimeClass',
  'admissionregistration.k8s.io/MutatingWebhookConfiguration',
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration',
]);

function podHealth(object: KubeObject): ObjectHealth {
  const phase = textAt(object, 'status.phase');
  switch (phase) {
    case 'Succeeded':
      return current;
    case 'Failed':
      return {
        status: 'Failed',
        reason: textAt(object, 'status.reason') ?? 'PodFailed',
        message: textAt(object, 'status.message') ?? 'the pod has ended with a failure',
      };
    case 'Running': {
      if (findCondition(object, 'Ready')?.status === 'True') return current;
      const looping = listAt(object, 'status.containerStatuses')
        .filter((status) => textAt(status, 'state.waiting.reason') === 'CrashLoopBackOff')
        .map((status) => textAt(status, 'name'));
      return looping.length > 0
        ? {
            status: 'Failed',
            reason: 'ContainerCrashLooping',
            message: `crashes again and again: ${looping.join(', ')}`,
          }
        : inProgress('PodNotReady', 'the pod runs and is not ready');
    }
    case undefined:
      return inProgress('NotObserved', 'the pod has not been looked at yet');
    default: {
      const scheduled = findCondition(object, 'PodScheduled');
      return scheduled?.status === 'False'
        ? ofCondition('InProgress', scheduled, {
            reason: 'PodNotScheduled',
            message: 'no node was found yet',
          })
        : inProgress('PodPending', 'the pod has not started yet');
    }
  }
}

function claimHealth(object: KubeObject): ObjectHealth {
  const phase = textAt(object, 'status.phase');
  if (phase === 'Bound') return current;
  if (phase === 'Lost') {
    return { status: 'Failed', reason: 'VolumeLost', message: 'the volume that it was bound to is gone' };
  }
  return inProgress('NotBound', 'it is not bound to a volume yet');
}

/** As kstatus: that a load balancer has given an address is not asked, as many sites have none that would. */
function serviceHealth(object: KubeObject): ObjectHealth {
  const needsAddress = textAt(object, 'spec.type') === 'LoadBalancer';
  return needsAddress && textAt(object, 'spec.clusterIP') === undefined
    ? inProgress('NoIPAssigned', 'it has no address in the cluster yet')
    : current;
}

function namespaceHealth(object: KubeObject): ObjectHealth {
  return textAt(object, 'status.phase') === 'Terminating'
    ? { status: 'Terminating', reason: 'Terminating', message: 'the namespace is being deleted' }
    : current;
}

function crdHealth(object: KubeObject): ObjectHealth {
  const names = findCondition(object, 'NamesAccepted');
  if (names?.status === 'False') {
    return ofCondition('Failed', names, { reason: 'NamesNotAccepted', message: 'its names are taken' });
  }
  const established = findCondition(object, 'Established');
  if (established?.status === 'True') return current;
  if (established?.status === 'False' && established.reason !== 'Installing') {
    return ofCondition('Failed', established, {
      reason: 'NotEstablished',
      message: 'it was not established',
    });
  }
  return inProgress('Installing', 'it is not established yet');
}

function apiServiceHealth(object: KubeObject): ObjectHealth {
  const available = findCondition(object, 'Available');
  if (available?.status === 'True') return current;
  const otherwise = { reason: 'NotAvailable', message: 'it is not available yet' };
  return available
    ? ofCondition('InProgress', available, otherwise)
    : inProgress(otherwise.reason, otherwise.message);
}
