import { type Clock, isExpired, type Logger } from '@selvedge/api';
import type { ObjectStore, StoredObject, StoreEvent } from '@selvedge/store';
import { setImmediate as turn } from 'node:timers/promises';
import { nextPageSize } from '../registry/page-size.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { CachedObject } from './cached-object.ts';
import { Change } from './change.ts';
import { EventWindow } from './event-window.ts';
import { type SortedSnapshot, SortedObjects } from './sorted-objects.ts';
import { WaitingRoom } from './waiting-room.ts';

export interface ResourceCacheOptions {
  readonly store: ObjectStore;
  readonly resource: Resource;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends the cache. */
  readonly signal: AbortSignal;
}

/** All objects of the resource as they were at one revision. */
export interface CacheSnapshot {
  readonly revision: number;
  readonly objects: SortedSnapshot<CachedObject>;
}

const fillPage = { objects: 500, characters: 4 * 1024 * 1024 };
const window = { maxChanges: 1024, maxBytes: 8 * 1024 * 1024 };
const progressEveryMs = 4000;
const retryMs = 500;
/** Snapshots that lists are continued in. */
const keptSnapshots = 4;
const snapshotKeptMs = 60_000;

/**
 * The objects of one resource in memory, kept current by one watch of the store. Filled when somebody first asks;
 * until then, and whenever it has lost its watch, it is not ready and reads go to the store.
 */
export class ResourceCache {
  readonly resource: Resource;
  readonly store: ObjectStore;
  readonly window = new EventWindow(window);
  /** Of those who follow the changes. */
  readonly followers = new WaitingRoom();
  readonly #o: ResourceCacheOptions;
  readonly #reached = new WaitingRoom();
  #objects = new SortedObjects<CachedObject>();
  #revision = 0;
  #isReady = false;
  #running: Promise<void> | undefined;
  #progressTold = 0;
  readonly #snapshots = new Map<number, { snapshot: CacheSnapshot; until: number }>();

  constructor(options: ResourceCacheOptions) {
    this.#o = options;
    this.resource = options.resource;
    this.store = options.store;
  }

  /** Everything up to here is in the cache. */
  get revision(): number {
    return this.#revision;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** Somebody wants it. */
  get isStarted(): boolean {
    return this.#running !== undefined;
  }

  /** How many objects there are. */
  get size(): number {
    return this.#objects.size;
  }

  /** Begins to fill it. Again: nothing. */
  start(): void {
    if (this.#o.signal.aborted) return;
    this.#running ??= this.#run();
  }

  async stopped(): Promise<void> {
    await this.#running;
  }

  /** `undefined` while it is not ready. */
  snapshot(): CacheSnapshot | undefined {
    return this.#isReady ? { revision: this.#revision, objects: this.#objects.snapshot() } : undefined;
  }

  /** Waits until the cache is ready and at least at the revision; false when that does not happen in time. */
  async reach(revision: number, withinMs: number): Promise<boolean> {
    const isThere = () => this.#isReady && this.#revision >= revision;
    if (isThere()) return true;
    const over = new AbortController();
    const timeout = this.#o.clock.sleep(withinMs, AbortSignal.any([over.signal, this.#o.signal]));
    const isOver = timeout.then(() => over.abort());
    while (!isThere() && !over.signal.aborted) {
      const { called, leave } = this.#reached.enter();
      await Promise.race([called, isOver]);
      leave();
    }
    over.abort();
    return isThere();
  }

  /** Keeps the snapshot for a while, because a list will be continued in it. */
  keep(snapshot: CacheSnapshot): void {
    this.#snapshots.delete(snapshot.revision);
    this.#snapshots.set(snapshot.revision, { snapshot, until: this.#nowMs() + snapshotKeptMs });
    const [oldest] = this.#snapshots.keys();
    if (this.#snapshots.size > keptSnapshots && oldest !== undefined) this.#snapshots.delete(oldest);
  }

  /** The state at exactly this revision, when it is still in memory. */
  snapshotAt(revision: number): CacheSnapshot | undefined {
    if (this.#isReady && revision === this.#revision) return this.snapshot();
    return this.#snapshots.get(revision)?.snapshot;
  }

  /** For a follower who reads from the store, and nobody else. */
  changeOf(event: StoreEvent & { type: 'put' | 'delete' }): Change {
    const previous = 'previous' in event ? event.previous : undefined;
    const state = (stored: StoredObject) => CachedObject.of(this.resource, stored);
    return new Change(event.type, state(event.object), previous && state(previous));
  }

  #cached(stored: StoredObject): CachedObject {
    return CachedObject.toKeep(this.resource, stored);
  }

  async #run(): Promise<void> {
    const { signal, clock, logger } = this.#o;
    while (!signal.aborted) {
      try {
        await this.#fill();
      } catch (error) {
        if (!signal.aborted && !isExpired(error)) logger.warn('watch cache interrupted', { error });
      }
      this.#isReady = false;
      this.window.clear();
      this.#snapshots.clear();
      // They go on from the store.
      this.followers.call();
      await clock.sleep(retryMs * (0.5 + Math.random()), signal);
    }
    this.#objects = new SortedObjects();
    this.#reached.callAtOnce();
  }

  /**
   * Reads what is there, page by page, each as new as it comes; then what changed since before the first page is laid
   * over it. A state never gives way to an older one, so that comes out as if read in one moment.
   */
  async #fill(): Promise<void> {
    const { store, signal } = this.#o;
    const resource = this.resource.name;
    const fromRevision = await store.currentRevision();
    // In a function of its own: what follows lasts as long as the server, and would keep the last page.
    const { objects, newestOnPages } = await this.#readPages();
    if (signal.aborted) return;
    // What a page no longer had may have been deleted after all that is on the pages.
    const newest = Math.max(newestOnPages, await store.currentRevision());
    this.#objects = objects;
    this.#revision = fromRevision;
    let isLogRead = false;
    for await (const event of store.watch({ resource, fromRevision, signal })) {
      if (event.type === 'progress') {
        isLogRead = true;
        this.#progress(event.revision);
      } else this.#apply(event);
      // A page may be newer than what the watch has told so far.
      if (!this.#isReady && isLogRead && this.#revision >= newest) this.#becomeReady();
    }
  }

  async #readPages(): Promise<{ objects: SortedObjects<CachedObject>; newestOnPages: number }> {
    const { store, signal } = this.#o;
    const resource = this.resource.name;
    const objects = new SortedObjects<CachedObject>();
    let after: CachedObject | undefined;
    let newestOnPages = 0;
    let limit = nextPageSize(fillPage);
    for (;;) {
      const page = await store.list({ resource, limit, ...(after ? { after } : {}) });
      for (const stored of page.objects) {
        objects.set(this.#cached(stored));
        newestOnPages = Math.max(newestOnPages, stored.revision);
      }
      const last = page.objects.at(-1);
      if (signal.aborted || page.remaining === 0 || !last) return { objects, newestOnPages };
      after = objects.find(last.key);
      limit = nextPageSize(fillPage, page.objects);
      await turn();
    }
  }

  #becomeReady(): void {
    this.#isReady = true;
    this.window.open(this.#revision);
    this.#reached.callAtOnce();
    this.followers.call();
  }

  #progress(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    this.#reached.callAtOnce();
    this.#dropOldSnapshots();
    const now = this.#nowMs();
    if (now - this.#progressTold < progressEveryMs) return;
    this.#progressTold = now;
    this.followers.call();
  }

  #apply(event: StoreEvent & { type: 'put' | 'delete' }): void {
    const { key, revision } = event.object;
    this.#revision = revision;
    const present = this.#objects.find(key);
    if (present && present.revision >= revision) return;
    const object = this.#cached(event.object);
    if (event.type === 'put') this.#objects.set(object);
    else this.#objects.delete(key);
    if (!this.#isReady) return;
    this.window.push(new Change(event.type, object, present));
    this.followers.call();
    this.#reached.callAtOnce();
  }

  #dropOldSnapshots(): void {
    const now = this.#nowMs();
    for (const [revision, { until }] of this.#snapshots) if (until < now) this.#snapshots.delete(revision);
  }

  #nowMs(): number {
    return this.#o.clock.now().getTime();
  }
}
