import { type Condition, isObject, type KubeObject } from '@selvedge/api';

/** What is still in a namespace that is being deleted. */
export interface RemainingContent {
  /** Objects by resource, `plural.group` (`configmaps.` in the core group, as Kubernetes writes it). */
  readonly resources: ReadonlyMap<string, number>;
  /** How many of them each finalizer holds. */
  readonly finalizers: ReadonlyMap<string, number>;
  /** What could not be deleted or counted, and why. */
  readonly failures: readonly string[];
}

/** Conditions and words as those of Kubernetes' namespace controller. */
export function namespaceConditions(remaining: RemainingContent): Omit<Condition, 'lastTransitionTime'>[] {
  const { resources, finalizers, failures } = remaining;
  const counted = (counts: ReadonlyMap<string, number>, verb: string) =>
    [...counts]
      .map(([name, count]) => `${name} ${verb} ${count} resource instances`)
      .sort()
      .join(', ');
  return [
    {
      type: 'NamespaceDeletionDiscoveryFailure',
      status: 'False',
      reason: 'ResourcesDiscovered',
      message: 'All resources successfully discovered',
    },
    {
      type: 'NamespaceDeletionGroupVersionParsingFailure',
      status: 'False',
      reason: 'ParsedGroupVersions',
      message: 'All legacy kube types successfully parsed',
    },
    failures.length > 0
      ? {
          type: 'NamespaceDeletionContentFailure',
          status: 'True',
          reason: 'ContentDeletionFailed',
          message: `Failed to delete all resource types, ${failures.length} remaining: ${failures.join(', ')}`,
        }
      : {
          type: 'NamespaceDeletionContentFailure',
          status: 'False',
          reason: 'ContentDeleted',
          message: 'All content successfully deleted, may be waiting on finalization',
        },
    resources.size > 0
      ? {
          type: 'NamespaceContentRemaining',
          status: 'True',
          reason: 'SomeResourcesRemain',
          message: `Some resources are remaining: ${counted(resources, 'has')}`,
        }
      : {
          type: 'NamespaceContentRemaining',
          status: 'False',
          reason: 'ContentRemoved',
          message: 'All content successfully removed',
        },
    finalizers.size > 0
      ? {
          type: 'NamespaceFinalizersRemaining',
          status: 'True',
          reason: 'SomeFinalizersRemain',
          message: `Some content in the namespace has finalizers remaining: ${counted(finalizers, 'in')}`,
        }
      : {
          type: 'NamespaceFinalizersRemaining',
          status: 'False',
          reason: 'ContentHasNoFinalizers',
          message: 'All content-preserving finalizers finished',
        },
  ];
}

/** The namespace with the conditions; one that says the same as before keeps its time. */
export function withNamespaceConditions(
  namespace: KubeObject,
  remaining: RemainingContent,
  now: string,
): KubeObject {
  const status = isObject(namespace['status']) ? namespace['status'] : {};
  const before = (Array.isArray(status['conditions']) ? status['conditions'] : []) as Condition[];
  const own = namespaceConditions(remaining).map((condition) => {
    const former = before.find((other) => other.type === condition.type);
    const isSame = former?.status === condition.status;
    return { ...condition, lastTransitionTime: isSame ? former.lastTransitionTime : now };
  });
  const others = before.filter((condition) => !own.some(({ type }) => type === condition.type));
  return { ...namespace, status: { ...status, conditions: [...others, ...own] } };
}
