import type { KubeObject } from '@selvedge/api';
import type { ObjectKey, StoredObject } from '@selvedge/store';
import type { Resource } from './resource-catalog.ts';

export function keyOf(resource: Resource, namespace: string | undefined, name: string): ObjectKey {
  return { resource: resource.name, namespace: resource.ref.namespaced ? (namespace ?? '') : '', name };
}

/** A fresh object each time; the caller may change it. */
export function decode(stored: StoredObject): KubeObject {
  const object = JSON.parse(stored.body) as KubeObject;
  object.metadata.resourceVersion = String(stored.revision);
  return object;
}

/** The form that is stored: the revision is kept by the store, not in the body. */
export function encode(object: KubeObject): string {
  const { resourceVersion: _, ...metadata } = object.metadata;
  return JSON.stringify({ ...object, metadata });
}

/** Reads a resourceVersion as a revision; `undefined` when it is not one of ours. */
export function findRevision(resourceVersion: string): number | undefined {
  const revision = /^\d{1,15}$/.test(resourceVersion) ? Number(resourceVersion) : undefined;
  return revision !== undefined && Number.isSafeInteger(revision) ? revision : undefined;
}
