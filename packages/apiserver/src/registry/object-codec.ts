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

/**
 * The form that is stored: the revision is kept by the store, not in the body. What every object has stands first, so
 * that the revision can be put into the text.
 */
export function encode(object: KubeObject): string {
  const { apiVersion, kind, metadata, ...content } = object;
  const { resourceVersion: _, ...storedMetadata } = metadata;
  return JSON.stringify({ apiVersion, kind, metadata: storedMetadata, ...content });
}

/** The JSON text of a stored object as clients get it, with its resourceVersion. */
export function wireText(resource: Pick<Resource, 'apiVersion' | 'ref'>, stored: StoredObject): string {
  const head = wireHead(resource);
  const { body, revision } = stored;
  if (body.startsWith(head)) {
    return `${head}"resourceVersion":"${revision}",${body.slice(head.length)}`;
  }
  // As stored by an earlier version.
  return wireText(resource, { ...stored, body: encode({ ...decode(stored), ...identityOf(resource) }) });
}

/** How every wire text of the kind begins; `"resourceVersion":"` follows. */
export function wireHead(resource: Pick<Resource, 'apiVersion' | 'ref'>): string {
  const { apiVersion, kind } = identityOf(resource);
  return `{"apiVersion":"${apiVersion}","kind":"${kind}","metadata":{`;
}

const identityOf = ({ apiVersion, ref }: Pick<Resource, 'apiVersion' | 'ref'>) => ({
  apiVersion,
  kind: ref.kind,
});

/** Reads a resourceVersion as a revision; `undefined` when it is not one of ours. */
export function findRevision(resourceVersion: string): number | undefined {
  const revision = /^\d{1,15}$/.test(resourceVersion) ? Number(resourceVersion) : undefined;
  return revision !== undefined && Number.isSafeInteger(revision) ? revision : undefined;
}
