import {
  alreadyExists,
  conflict,
  isAlreadyExists,
  isConflict,
  isNotFound,
  type KubeObject,
  maxObjectBytes,
  notFound,
} from '@selvedge/api';
import type { StoredObject, WriteCondition } from '@selvedge/store';
import { tooLarge } from '../admission/limits.ts';
import { encode, findRevision, keyOf, wireText } from './object-codec.ts';
import type { Registry, WriteOptions } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { withText } from './wire-text.ts';

const changedMeanwhile =
  'the object has been modified; please apply your changes to the latest version and try again';

type DryRun = Pick<WriteOptions, 'dryRun'>;

/**
 * Stores a new object, if the quotas have room for it. Throws `AlreadyExists` and `Forbidden`, also for a dry run, and
 * `Conflict` when the condition does not hold.
 */
export async function storeNew(
  registry: Registry,
  resource: Resource,
  { object, dryRun, condition }: { object: KubeObject; condition?: WriteCondition } & DryRun,
): Promise<KubeObject> {
  const key = keyOf(resource, object.metadata.namespace, object.metadata.name);
  const body = encodeWithin(object);
  const { quotas, totals, store } = registry;
  await totals.require(resource, key.name);
  const create = async () => {
    if (dryRun) {
      if (await store.find(key)) throw alreadyExists(resource.ref, key.name);
      return object;
    }
    const stored = await inWordsOf(resource, key.name, () => store.create(key, body, condition));
    totals.created(resource);
    return asStored(resource, object, stored);
  };
  return quotas ? quotas.charge(resource, { object, dryRun }, create) : create();
}

/** Replaces an object that has the resourceVersion given in it. Throws `Conflict`, `NotFound`. */
export async function storeChanged(
  registry: Registry,
  resource: Resource,
  { object, dryRun }: { object: KubeObject } & DryRun,
): Promise<KubeObject> {
  const { namespace, name } = object.metadata;
  const body = encodeWithin(object);
  if (dryRun) return object;
  const write = () => registry.store.update(keyOf(resource, namespace, name), body, revisionOf(object));
  return asStored(resource, object, await inWordsOf(resource, name, write));
}

/** Removes an object that has the resourceVersion given in it. Throws `Conflict`, `NotFound`. */
export async function storeRemoved(
  registry: Registry,
  resource: Resource,
  { object, dryRun }: { object: KubeObject } & DryRun,
): Promise<KubeObject> {
  const { namespace, name } = object.metadata;
  if (dryRun) return object;
  const remove = () => registry.store.delete(keyOf(resource, namespace, name), revisionOf(object));
  const removed = await inWordsOf(resource, name, remove);
  registry.totals.removed(resource);
  registry.quotas?.release(resource, namespace);
  return { ...object, metadata: { ...object.metadata, resourceVersion: String(removed.revision) } };
}

/** What was written, with its new revision. */
function asStored(resource: Resource, object: KubeObject, stored: StoredObject): KubeObject {
  const metadata = { ...object.metadata, resourceVersion: String(stored.revision) };
  return withText({ ...object, metadata }, wireText(resource, stored));
}

function revisionOf({ metadata }: KubeObject): number {
  return findRevision(metadata.resourceVersion ?? '') ?? -1;
}

function encodeWithin(object: KubeObject): string {
  const body = encode(object);
  if (Buffer.byteLength(body) > maxObjectBytes) throw tooLarge('the object');
  return body;
}

/** The store knows keys; the message names the resource as the user knows it. */
async function inWordsOf<T>(resource: Resource, name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (isAlreadyExists(cause)) throw alreadyExists(resource.ref, name);
    if (isConflict(cause)) throw conflict(resource.ref, name, changedMeanwhile);
    if (isNotFound(cause)) throw notFound(resource.ref, name);
    throw cause;
  }
}
