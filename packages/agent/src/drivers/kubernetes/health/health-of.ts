import type { KubeObject } from '@selvedge/api';
import { builtInHealth, healthyByExistence } from './built-in-health.ts';
import type { CompiledHealthRules } from './health-rules.ts';
import type { ObjectHealth } from './object-health.ts';
import { findCondition, groupKind, numberAt } from './read-fields.ts';
import { current, inProgress, ofCondition } from './workload-health.ts';

/**
 * Whether the cluster has made an object what its spec says: as kstatus (sigs.k8s.io/cli-utils) for kinds of Kubernetes and for the usual
 * conditions; the application's own rule, where there is one, decides alone. Pure.
 */
export function healthOf(object: KubeObject, rules: CompiledHealthRules): ObjectHealth {
  const { deletionTimestamp } = object.metadata;
  if (deletionTimestamp !== undefined && deletionTimestamp !== '') {
    return { status: 'Terminating', reason: 'Terminating', message: terminatingMessage(object) };
  }
  const outdated = unobservedGeneration(object);
  if (outdated) return outdated;
  const rule = rules.find(object.apiVersion, object.kind);
  if (rule) return rule(object);
  const key = groupKind(object);
  if (healthyByExistence.has(key)) return current;
  return usualConditions(object) ?? builtInHealth.get(key)?.(object) ?? readyCondition(object) ?? current;
}

/** Whether `metadata` alone tells the health of objects of this kind. */
export function isHealthyByExistence(
  { apiVersion, kind }: { apiVersion: string; kind: string },
  rules: CompiledHealthRules,
): boolean {
  return (
    healthyByExistence.has(groupKind({ apiVersion, kind })) && rules.find(apiVersion, kind) === undefined
  );
}

function terminatingMessage({ metadata }: KubeObject): string {
  const finalizers = metadata.finalizers ?? [];
  return finalizers.length === 0
    ? 'it is being deleted'
    : `it is being deleted and waits for ${finalizers.join(', ')}`;
}

function unobservedGeneration(object: KubeObject): ObjectHealth | undefined {
  const { generation } = object.metadata;
  const observed = numberAt(object, 'status.observedGeneration');
  if (generation === undefined || observed === undefined || observed === generation) return undefined;
  return inProgress(
    'LatestGenerationNotObserved',
    `generation ${generation} is not observed yet, only ${observed}`,
  );
}

/** The two conditions of kstatus, which mean what they say wherever they stand. */
function usualConditions(object: KubeObject): ObjectHealth | undefined {
  const reconciling = findCondition(object, 'Reconciling');
  if (reconciling?.status === 'True') {
    return ofCondition('InProgress', reconciling, {
      reason: 'Reconciling',
      message: 'it is being worked on',
    });
  }
  const stalled = findCondition(object, 'Stalled');
  if (stalled?.status === 'True') {
    return ofCondition('Failed', stalled, { reason: 'Stalled', message: 'it does not get on' });
  }
  return undefined;
}

function readyCondition(object: KubeObject): ObjectHealth | undefined {
  const ready = findCondition(object, 'Ready');
  if (ready?.status === 'True') return current;
  return ready && ofCondition('InProgress', ready, { reason: 'NotReady', message: 'it is not ready' });
}
