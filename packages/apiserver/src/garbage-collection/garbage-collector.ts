import { isConflict, isNotFound, isStatusError, type KubeObject, type Logger } from '@selvedge/api';
import type { ObjectKey, StoredObject } from '@selvedge/store';
import type { UserInfo } from '../authentication/user-info.ts';
import { decode } from '../registry/object-codec.ts';
import { isOrphaning, isWaitingForDependents } from '../registry/propagation.ts';
import type { Registry } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { type Collection, collect } from './collect.ts';
import { DependencyGraph } from './dependency-graph.ts';
import { everyStored } from './find-dependents.ts';
import { reportInvalidOwner } from './invalid-owner-event.ts';
import { keyAt, type Location, locationOf, type OwnerKey, ownerKeyOf, OwnerKinds, partsOf } from './owner.ts';
import { RetryQueue } from './retry-queue.ts';

const longestPauseMs = 10_000;

/**
 * Deletes what has lost its last owner, as `metadata.ownerReferences` say. A graph kept from the events of the store says
 * what is worth a look; what is done is decided from the store itself (`collect`), so several servers may do it at once.
 */
export class GarbageCollector {
  readonly #registry: Registry;
  readonly #user: UserInfo;
  readonly #logger: Logger;
  readonly #kinds: OwnerKinds;
  readonly #graph = new DependencyGraph();
  /** Owners that are being deleted in the foreground; true once their dependents have been enqueued. */
  readonly #waiting = new Map<OwnerKey, boolean>();
  readonly #objects: RetryQueue;
  readonly #owners: RetryQueue;

  constructor(registry: Registry, user: UserInfo) {
    this.#registry = registry;
    this.#user = user;
    this.#logger = registry.logger.child({ component: 'garbage-collector' });
    this.#kinds = new OwnerKinds(registry.catalog);
    const { clock, closing: signal } = registry;
    const collection: Collection = {
      registry,
      user,
      kinds: this.#kinds,
      graph: this.#graph,
      enqueue: (location) => this.#objects.add(location),
      beginWaiting: (owner) => this.#beginWaiting(owner),
    };
    const onError = (object: string, error: unknown) => this.#report(object, error);
    const work = (location: Location) => collect(collection, location);
    this.#objects = new RetryQueue({ work, onError, clock, signal });
    this.#owners = new RetryQueue({ work: (owner) => this.#verify(owner), onError, clock, signal });
  }

  /** Objects that name an owner, as far as they are known. */
  get dependents(): number {
    return this.#graph.size;
  }

  /** Runs until the server closes. */
  async run(): Promise<void> {
    const listed: Promise<void>[] = [];
    const feeds = this.#kinds.all.map((resource) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      listed.push(promise);
      return this.#feed(resource, resolve).finally(resolve);
    });
    // An owner may be verified only when its deletion would be heard of.
    await Promise.all(listed);
    await Promise.all([...feeds, this.#objects.run(), this.#owners.run()]);
  }

  async #feed(resource: Resource, onListed: () => void): Promise<void> {
    const { closing, clock } = this.#registry;
    while (!closing.aborted) {
      try {
        await this.#follow(resource, onListed);
      } catch (error) {
        if (closing.aborted) return;
        this.#logger.warn('cannot follow the objects of a kind, trying again', {
          resource: resource.name,
          error,
        });
        await clock.sleep(longestPauseMs * (0.25 + Math.random() / 2), closing);
      }
    }
  }

  async #follow(resource: Resource, onListed: () => void): Promise<void> {
    const { store, closing } = this.#registry;
    const fromRevision = await this.#list(resource);
    onListed();
    for await (const event of store.watch({ resource: resource.name, fromRevision, signal: closing })) {
      if (event.type === 'put') this.#seen(resource, event.object);
      if (event.type === 'delete') this.#deleted(event.object);
    }
  }

  async #list(resource: Resource): Promise<number> {
    const present = new Set<Location>();
    const pages = everyStored(this.#registry, resource);
    for (;;) {
      const page = await pages.next();
      if (page.done) {
        // What went while nobody listened: objects themselves, and owners of others.
        for (const location of this.#graph.locationsOf(resource.name)) {
          if (!present.has(location)) this.#link(location, []);
        }
        for (const owner of this.#graph.ownersIn(resource.name)) {
          this.#graph.setPresent(owner, false);
          this.#owners.add(owner);
        }
        return page.value;
      }
      for (const stored of page.value) {
        if (namesOwners(stored)) present.add(locationOf(stored.key));
        this.#seen(resource, stored);
      }
    }
  }

  #seen(resource: Resource, stored: StoredObject): void {
    const location = locationOf(stored.key);
    if (!namesOwners(stored) && !mayWait(stored)) {
      this.#link(location, []);
      return;
    }
    const object = decode(stored);
    this.#link(location, this.#kinds.ownersOf(resource, object));
    this.#reportLostOwners(resource, object);
    if (isWaitingForDependents(object)) {
      const own = ownerKeyOf(stored.key, object.metadata.uid ?? '');
      if (!this.#waiting.has(own)) this.#waiting.set(own, false);
    }
    if (isWaitingForDependents(object) || isOrphaning(object)) this.#objects.add(location);
  }

  #deleted(stored: StoredObject): void {
    const { uid = '' } = decode(stored).metadata;
    const own = ownerKeyOf(stored.key, uid);
    this.#link(locationOf(stored.key), []);
    this.#waiting.delete(own);
    this.#graph.setPresent(own, false);
    for (const dependent of this.#graph.dependentsOf(own)) this.#objects.add(dependent);
  }

  #link(location: Location, owners: readonly OwnerKey[]): void {
    const { added, before } = this.#graph.put(location, owners);
    for (const owner of added) if (!this.#graph.isPresent(owner)) this.#owners.add(owner);
    for (const owner of new Set([...before, ...owners])) {
      if (!this.#waiting.has(owner)) continue;
      this.#objects.add(partsOf(owner).location);
      if (added.includes(owner)) this.#objects.add(location);
    }
  }

  #beginWaiting(owner: OwnerKey): boolean {
    if (this.#waiting.get(owner) === true) return false;
    this.#waiting.set(owner, true);
    return true;
  }

  /** Whether somebody's owner is there; if not, its dependents deserve a look. */
  async #verify(owner: OwnerKey): Promise<void> {
    const { location, uid } = partsOf(owner);
    const key = keyAt(location);
    // Before the look: a deletion that is heard of during it must have the last word.
    this.#graph.setPresent(owner, true);
    const isThere = await this.#isThere(key, uid).catch((error: unknown) => {
      this.#graph.setPresent(owner, false);
      throw error;
    });
    if (isThere) return;
    this.#graph.setPresent(owner, false);
    const dependents = [...this.#graph.dependentsOf(owner)];
    if (dependents.length > 0 && (await this.#isElsewhere(key, uid))) {
      for (const dependent of dependents) await this.#reportWrongNamespace(dependent, uid);
    }
    for (const dependent of this.#graph.dependentsOf(owner)) this.#objects.add(dependent);
  }

  async #isThere(key: ObjectKey, uid: string): Promise<boolean> {
    const stored = await this.#registry.store.find(key);
    return stored !== undefined && decode(stored).metadata.uid === uid;
  }

  /** Whether the owner that is not there is in another namespace: references do not reach across. */
  async #isElsewhere(key: ObjectKey, uid: string): Promise<boolean> {
    const resource = this.#kinds.at(locationOf(key));
    if (!resource?.ref.namespaced) return false;
    for await (const page of everyStored(this.#registry, resource)) {
      const isThere = page.some((stored) => stored.body.includes(uid) && decode(stored).metadata.uid === uid);
      if (isThere) return true;
    }
    return false;
  }

  async #reportWrongNamespace(location: Location, ownerUid: string): Promise<void> {
    const stored = await this.#registry.store.find(keyAt(location));
    const dependent = stored && decode(stored);
    const reference = dependent?.metadata.ownerReferences?.find(({ uid }) => uid === ownerUid);
    if (dependent && reference) {
      await reportInvalidOwner(this.#registry, this.#user, { dependent, reference });
    }
  }

  /** An object without a namespace cannot have an owner in one: it is kept, and people are told. */
  #reportLostOwners(resource: Resource, dependent: KubeObject): void {
    if (resource.ref.namespaced) return;
    const lost = (dependent.metadata.ownerReferences ?? []).filter(
      (reference) => this.#kinds.targetOf(reference, { resource, namespace: '' }).type === 'nowhere',
    );
    for (const reference of lost) {
      reportInvalidOwner(this.#registry, this.#user, { dependent, reference }).catch((error: unknown) =>
        this.#report(dependent.metadata.name, error),
      );
    }
  }

  #report(object: string, error: unknown): void {
    if (this.#registry.closing.aborted || isConflict(error) || isNotFound(error)) return;
    const level = isStatusError(error) ? 'warn' : 'debug';
    this.#logger[level]('an object could not be collected, trying again', {
      object: object.split('\0')[0],
      error,
    });
  }
}

// Asked of every object of every kind, so without reading it as JSON.
const namesOwners = ({ body }: StoredObject): boolean => body.includes('"ownerReferences"');
const mayWait = ({ body }: StoredObject): boolean =>
  body.includes('"deletionTimestamp"') &&
  (body.includes('"foregroundDeletion"') || body.includes('"orphan"'));
