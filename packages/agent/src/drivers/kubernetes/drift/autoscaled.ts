import type { KubeObject } from '@selvedge/api';
import type { ObjectRef } from '../release/planned-object.ts';
import { fieldOf } from './json-pointer.ts';

/**
 * Whether one of these objects scales the workload: a HorizontalPodAutoscaler, a ScaledObject of KEDA, or another that names it as its
 * `spec.scaleTargetRef` (or `spec.targetRef`) in the same namespace.
 */
export function isAutoscaled(workload: ObjectRef, autoscalers: readonly KubeObject[]): boolean {
  return autoscalers.some((object) => {
    if (object.metadata.namespace !== workload.namespace) return false;
    const target = fieldOf(object['spec'], 'scaleTargetRef') ?? fieldOf(object['spec'], 'targetRef');
    // KEDA's default.
    const kind = fieldOf(target, 'kind') ?? 'Deployment';
    return fieldOf(target, 'name') === workload.name && kind === workload.kind;
  });
}
