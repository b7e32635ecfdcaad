import { isObject, type KubeObject, namespaces } from '@selvedge/api';
import type { Resource } from '../registry/resource-catalog.ts';

/** Kubernetes' own name for "the contents are not deleted yet". */
export const contentFinalizer = 'kubernetes';
/** Always there. */
export const defaultNamespace = 'default';
const nameLabel = 'kubernetes.io/metadata.name';

export const isNamespaceKind = (resource: Resource): boolean => resource.name === namespaces.plural;

/** What the server itself says in a Namespace: only it sets finalizers in the spec, the phase and the name label. */
export function completeNamespace(object: KubeObject, previous: KubeObject | undefined): KubeObject {
  const { metadata } = object;
  const isTerminating = metadata.deletionTimestamp !== undefined;
  const status = isObject(object['status']) ? object['status'] : {};
  return {
    ...object,
    metadata: { ...metadata, labels: { ...metadata.labels, [nameLabel]: metadata.name } },
    spec: previous ? (previous['spec'] ?? {}) : { finalizers: [contentFinalizer] },
    status: { ...status, phase: isTerminating ? 'Terminating' : 'Active' },
  };
}

export function withoutContentFinalizer(object: KubeObject): KubeObject {
  const spec = isObject(object['spec']) ? object['spec'] : {};
  const finalizers = finalizersOfSpec(object).filter((f) => f !== contentFinalizer);
  return { ...object, spec: { ...spec, finalizers } };
}

function finalizersOfSpec(object: KubeObject): string[] {
  const spec = object['spec'];
  return isObject(spec) && Array.isArray(spec['finalizers']) ? (spec['finalizers'] as string[]) : [];
}

/** Whether somebody still has to act before a deleted object may go. */
export function isHeld(resource: Resource, object: KubeObject): boolean {
  if ((object.metadata.finalizers ?? []).length > 0) return true;
  return isNamespaceKind(resource) && finalizersOfSpec(object).length > 0;
}
