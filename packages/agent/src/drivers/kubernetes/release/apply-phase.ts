import type { ObjectRef } from './planned-object.ts';

/**
 * The order in which the objects of a release are applied; what is removed goes the other way. Objects of one phase need nothing of each
 * other to be accepted.
 */
export const applyPhases = [
  'Namespaces',
  'CustomResourceDefinitions',
  /** What is in no namespace, and who may do what. */
  'Foundations',
  /** What pods read, and how they are reached. */
  'Configuration',
  'Workloads',
  'CustomResources',
  /** What the API server calls: it has to be there by then. */
  'Hooks',
] as const;
export type ApplyPhase = (typeof applyPhases)[number];

const phaseOfKind: Readonly<Record<string, ApplyPhase>> = {
  '/Namespace': 'Namespaces',
  'apiextensions.k8s.io/CustomResourceDefinition': 'CustomResourceDefinitions',
  '/ServiceAccount': 'Foundations',
  'rbac.authorization.k8s.io/Role': 'Foundations',
  'rbac.authorization.k8s.io/RoleBinding': 'Foundations',
  '/Pod': 'Workloads',
  '/ReplicationController': 'Workloads',
  'admissionregistration.k8s.io/ValidatingWebhookConfiguration': 'Hooks',
  'admissionregistration.k8s.io/MutatingWebhookConfiguration': 'Hooks',
  'apiregistration.k8s.io/APIService': 'Hooks',
};

export function phaseOf(ref: ObjectRef): ApplyPhase {
  const group = groupOf(ref.apiVersion);
  const known = phaseOfKind[`${group}/${ref.kind}`];
  if (known !== undefined) return known;
  if (group === 'apps' || group === 'batch') return 'Workloads';
  if (!isBuiltIn(group)) return 'CustomResources';
  return ref.namespace === undefined ? 'Foundations' : 'Configuration';
}

export function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

/** Groups of Kubernetes itself have no dot, or end in k8s.io and are not made by definitions; of the latter few carry objects of users. */
function isBuiltIn(group: string): boolean {
  return !group.includes('.') || builtInGroups.has(group);
}

const builtInGroups = new Set([
  'networking.k8s.io',
  'rbac.authorization.k8s.io',
  'storage.k8s.io',
  'scheduling.k8s.io',
  'node.k8s.io',
  'discovery.k8s.io',
  'coordination.k8s.io',
  'admissionregistration.k8s.io',
  'apiextensions.k8s.io',
  'apiregistration.k8s.io',
  'certificates.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'resource.k8s.io',
]);
