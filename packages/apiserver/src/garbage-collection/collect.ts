import { isNotFound, type KubeObject, type ObjectName, type OwnerReference } from '@selvedge/api';
import { isHeld } from '../admission/namespace-object.ts';
import type { UserInfo } from '../authentication/user-info.ts';
import { deleteObject } from '../registry/delete.ts';
import { decode } from '../registry/object-codec.ts';
import {
  foregroundFinalizer,
  isOrphaning,
  isWaitingForDependents,
  orphanFinalizer,
  type PropagationPolicy,
  withFinalizers,
} from '../registry/propagation.ts';
import type { Registry, WriteOptions } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { storeChanged, storeRemoved } from '../registry/store-object.ts';
import { changeObject } from '../registry/update.ts';
import type { DependencyGraph } from './dependency-graph.ts';
import { findDependents } from './find-dependents.ts';
import { keyAt, type Location, locationOf, type OwnerKey, ownerKeyOf, type OwnerKinds } from './owner.ts';

/** What a collection may ask and cause. */
export interface Collection {
  readonly registry: Registry;
  readonly kinds: OwnerKinds;
  readonly graph: Pick<DependencyGraph, 'dependentsOf'>;
  readonly user: UserInfo;
  /** Another object deserves a look. */
  readonly enqueue: (location: Location) => void;
  /** Whether this is the first look at an owner that waits for its dependents. */
  readonly beginWaiting: (owner: OwnerKey) => boolean;
}

/**
 * Looks at one object as it is in the store now, and does what owner references ask: lets an owner go whose dependents
 * are gone or let go, drops references to owners that are gone, deletes what has no owner left. Every write holds only
 * for the very state that was judged, so it makes no difference who else does the same. Throws what may pass: the
 * object is looked at again.
 */
export async function collect(collection: Collection, location: Location): Promise<void> {
  const { registry, kinds } = collection;
  const resource = kinds.at(location);
  const stored = resource && (await registry.store.find(keyAt(location)));
  if (!stored) return;
  const subject: Subject = { resource, object: decode(stored), location };
  if (isOrphaning(subject.object)) await orphanDependents(collection, subject);
  else if (isWaitingForDependents(subject.object)) await waitForDependents(collection, subject);
  else if (subject.object.metadata.deletionTimestamp === undefined) await judge(collection, subject);
}

interface Subject {
  readonly resource: Resource;
  readonly object: KubeObject;
  readonly location: Location;
}

async function judge(collection: Collection, subject: Subject): Promise<void> {
  const { ownerReferences = [] } = subject.object.metadata;
  if (ownerReferences.length === 0) return;
  const { solid, dangling, waiting } = await classify(collection, subject);
  if (solid.length > 0) {
    const gone = new Set([...dangling, ...waiting].map(({ uid }) => uid));
    if (gone.size > 0) await dropReferences(collection, subject, (reference) => gone.has(reference.uid));
    return;
  }
  const own = ownerKeyOf(keyAt(subject.location), subject.object.metadata.uid ?? '');
  const dependents = collection.graph.dependentsOf(own);
  if (waiting.length > 0 && dependents.size > 0) {
    if (await isAnyWaiting(collection, dependents)) await unblockOwners(collection, subject);
    else await deleteSubject(collection, subject, 'Foreground');
    return;
  }
  await deleteSubject(collection, subject, undefined);
}

interface Classified {
  readonly solid: OwnerReference[];
  /** Owners that are not there, under this name with this uid. */
  readonly dangling: OwnerReference[];
  /** Owners that are being deleted, and wait for the dependents to go first. */
  readonly waiting: OwnerReference[];
}

/** Asks the store itself about every owner; an owner that cannot be read makes it throw. */
async function classify({ registry, kinds }: Collection, { resource, object }: Subject): Promise<Classified> {
  const classified: Classified = { solid: [], dangling: [], waiting: [] };
  const dependent = { resource, namespace: object.metadata.namespace ?? '' };
  for (const reference of object.metadata.ownerReferences ?? []) {
    const target = kinds.targetOf(reference, dependent);
    if (target.type !== 'object') {
      classified.solid.push(reference);
      continue;
    }
    const stored = await registry.store.find(target.key);
    const owner = stored && decode(stored);
    if (owner?.metadata.uid !== reference.uid) classified.dangling.push(reference);
    else if (isWaitingForDependents(owner)) classified.waiting.push(reference);
    else classified.solid.push(reference);
  }
  return classified;
}

async function isAnyWaiting({ registry }: Collection, locations: ReadonlySet<Location>): Promise<boolean> {
  for (const location of locations) {
    const stored = await registry.store.find(keyAt(location));
    if (stored && isWaitingForDependents(decode(stored))) return true;
  }
  return false;
}

/** The dependents of this object wait for theirs: in a circle nobody would go first, so this one no longer blocks. */
async function unblockOwners(collection: Collection, subject: Subject): Promise<void> {
  const { registry } = collection;
  const { ownerReferences = [], resourceVersion = '' } = subject.object.metadata;
  const unblocked = ownerReferences.map((reference) => ({ ...reference, blockOwnerDeletion: false }));
  const isBlocking = ownerReferences.some((reference) => reference.blockOwnerDeletion === true);
  const object = isBlocking
    ? await changeObject(registry, subject.resource, {
        target: nameOf(subject.object),
        part: 'main',
        options: optionsOf(collection),
        retry: false,
        change: (current) => ({
          ...current,
          metadata: { ...current.metadata, resourceVersion, ownerReferences: unblocked },
        }),
      })
    : subject.object;
  await deleteSubject(collection, { ...subject, object }, 'Foreground');
}

async function dropReferences(
  collection: Collection,
  { resource, object }: Pick<Subject, 'resource' | 'object'>,
  isGone: (reference: OwnerReference) => boolean,
): Promise<void> {
  const { resourceVersion = '' } = object.metadata;
  await changeObject(collection.registry, resource, {
    target: nameOf(object),
    part: 'main',
    options: optionsOf(collection),
    retry: false,
    change: (current) => {
      const { ownerReferences = [], ...metadata } = current.metadata;
      const left = ownerReferences.filter((reference) => !isGone(reference));
      const owners = left.length > 0 ? { ownerReferences: left } : {};
      return { ...current, metadata: { ...metadata, ...owners, resourceVersion } };
    },
  });
}

async function deleteSubject(
  { registry }: Collection,
  { resource, object }: Subject,
  propagationPolicy: PropagationPolicy | undefined,
): Promise<void> {
  const { uid, resourceVersion } = object.metadata;
  const preconditions = { uid, resourceVersion };
  try {
    const target = nameOf(object);
    await deleteObject(registry, resource, { target, preconditions, propagationPolicy, dryRun: false });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

async function orphanDependents(collection: Collection, subject: Subject): Promise<void> {
  const { registry, kinds } = collection;
  const { uid } = subject.object.metadata;
  for await (const dependent of findDependents(registry, kinds, subject)) {
    try {
      await dropReferences(collection, dependent, (reference) => reference.uid === uid);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
  await finish(collection, subject, orphanFinalizer);
}

async function waitForDependents(collection: Collection, subject: Subject): Promise<void> {
  const { registry, kinds, graph, enqueue } = collection;
  const { object, location } = subject;
  const uid = object.metadata.uid ?? '';
  const own = ownerKeyOf(keyAt(location), uid);
  const known = graph.dependentsOf(own);
  if (collection.beginWaiting(own)) for (const dependent of known) enqueue(dependent);
  for (const dependent of known) {
    const stored = await registry.store.find(keyAt(dependent));
    if (stored && isBlocking(decode(stored), uid)) return;
  }
  let isBlocked = false;
  for await (const dependent of findDependents(registry, kinds, subject)) {
    isBlocked ||= isBlocking(dependent.object, uid);
    const { namespace = '', name } = dependent.object.metadata;
    enqueue(locationOf({ resource: dependent.resource.name, namespace, name }));
  }
  if (isBlocked) throw new Error('dependents have come that were not known yet');
  await finish(collection, subject, foregroundFinalizer);
}

const isBlocking = ({ metadata }: KubeObject, ownerUid: string): boolean =>
  (metadata.ownerReferences ?? []).some((r) => r.uid === ownerUid && r.blockOwnerDeletion === true);

/** The last finalizer takes the object with it. */
async function finish(
  { registry }: Collection,
  { resource, object }: Subject,
  finalizer: string,
): Promise<void> {
  const left = (object.metadata.finalizers ?? []).filter((f) => f !== finalizer);
  const finished = withFinalizers(object, left);
  const store = isHeld(resource, finished) ? storeChanged : storeRemoved;
  try {
    await store(registry, resource, { object: finished, dryRun: false });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

function nameOf({ metadata }: KubeObject): ObjectName {
  const { name, namespace } = metadata;
  return namespace === undefined ? { name } : { name, namespace };
}

function optionsOf({ user }: Collection): WriteOptions {
  return {
    user,
    dryRun: false,
    fieldManager: 'garbage-collector',
    fieldValidation: 'Ignore',
    warn: () => {},
  };
}
