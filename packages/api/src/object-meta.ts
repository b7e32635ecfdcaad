/** Metadata that every persisted object carries. Kubernetes API conventions, "Metadata". */
export interface ObjectMeta {
  name: string;
  /** Server appends a random suffix when `name` is empty. */
  generateName?: string;
  /** Empty or absent for cluster-scoped kinds. */
  namespace?: string;
  uid?: string;
  /** Opaque to clients; a decimal number of the store's one global sequence. */
  resourceVersion?: string;
  /** Counts changes of anything but `metadata` and `status`. */
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: ManagedFieldsEntry[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** One manager's fields. KEP-555. */
export interface ManagedFieldsEntry {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  time?: string;
  fieldsType: 'FieldsV1';
  fieldsV1: Record<string, unknown>;
  subresource?: string;
}

/** A condition of `status.conditions`. KEP-1623. */
export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  /** CamelCase, for programs. */
  reason: string;
  /** One sentence for a person: what is, and what to do about it. */
  message: string;
  lastTransitionTime: string;
  observedGeneration?: number;
}

/** Any object of the Kubernetes resource model. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

export interface ObjectList<T extends KubeObject = KubeObject> {
  apiVersion: string;
  kind: string;
  metadata: { resourceVersion: string; continue?: string; remainingItemCount?: number };
  items: T[];
}

/** Names one kind as it is addressed in URLs and in objects. */
export interface ResourceRef {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  /** As in URLs: `applications`. */
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

/** `v1`, or `group/version`. */
export function apiVersionOf(ref: Pick<ResourceRef, 'group' | 'version'>): string {
  return ref.group === '' ? ref.version : `${ref.group}/${ref.version}`;
}

/** `plural` or `plural.group`: the resource's name in messages and storage keys. */
export function resourceName(ref: Pick<ResourceRef, 'group' | 'plural'>): string {
  return ref.group === '' ? ref.plural : `${ref.plural}.${ref.group}`;
}
