import type { KubeObject } from '@selvedge/api';

/** What a delete does to the objects that name the deleted one as their owner. `metav1.DeletionPropagation`. */
export const propagationPolicies = ['Foreground', 'Background', 'Orphan'] as const;
export type PropagationPolicy = (typeof propagationPolicies)[number];

/** Holds an owner until its blocking dependents are gone. */
export const foregroundFinalizer = 'foregroundDeletion';
/** Holds an owner until its dependents no longer name it. */
export const orphanFinalizer = 'orphan';

/**
 * The finalizers of an object whose deletion is asked for. A policy that is asked for overrides a garbage collection
 * finalizer that stands there; without one the finalizer says the policy, and without both it is Background.
 */
export function finalizersOfDeletion(
  finalizers: readonly string[],
  policy: PropagationPolicy | undefined,
): string[] {
  const others = finalizers.filter((f) => f !== foregroundFinalizer && f !== orphanFinalizer);
  switch (policy ?? policyIn(finalizers)) {
    case 'Foreground':
      return [...others, foregroundFinalizer];
    case 'Orphan':
      return [...others, orphanFinalizer];
    default:
      return others;
  }
}

function policyIn(finalizers: readonly string[]): PropagationPolicy | undefined {
  if (finalizers.includes(orphanFinalizer)) return 'Orphan';
  return finalizers.includes(foregroundFinalizer) ? 'Foreground' : undefined;
}

/** Being deleted, and waiting for its dependents to go. */
export const isWaitingForDependents = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(foregroundFinalizer);

/** Being deleted, and waiting for its dependents to be let go. */
export const isOrphaning = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(orphanFinalizer);

export function withFinalizers(object: KubeObject, finalizers: readonly string[]): KubeObject {
  const { finalizers: _, ...metadata } = object.metadata;
  return {
    ...object,
    metadata: finalizers.length > 0 ? { ...metadata, finalizers: [...finalizers] } : metadata,
  };
}
