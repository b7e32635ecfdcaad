/**
 * Where an object lives. `resource` is `plural` or `plural.group` (`sites.selvedge.dev`); `namespace` is '' for
 * cluster-scoped kinds.
 */
export interface ObjectKey {
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

export interface StoredObject {
  readonly key: ObjectKey;
  /** JSON text, without `metadata.resourceVersion`: that is `revision`. */
  readonly body: string;
  /** Revision of this state. */
  readonly revision: number;
  /** Revision at which this life of the object began. */
  readonly createRevision: number;
}

export type StoreEvent =
  /** `previous` is absent for a new object. */
  | { readonly type: 'put'; readonly object: StoredObject; readonly previous?: StoredObject }
  /** `object` is the last state, its `revision` that of the deletion. */
  | { readonly type: 'delete'; readonly object: StoredObject }
  /**
   * Nothing more up to this revision. Comes once when all that was there at the start has been handed out, then from
   * time to time while nothing happens: resume from it.
   */
  | { readonly type: 'progress'; readonly revision: number };

export interface ListQuery {
  readonly resource: string;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly limit?: number;
  /** Continue behind this key, in (namespace, name) order. */
  readonly after?: { readonly namespace: string; readonly name: string };
  /**
   * The list as it was at this revision; throws `Expired` when it is compacted, or ahead of the store (restored from a
   * backup). Absent: now.
   */
  readonly atRevision?: number;
}

export interface ListResult {
  readonly objects: StoredObject[];
  /** Revision that the list is a snapshot of. */
  readonly revision: number;
  /** How many come behind the last one; 0 without `limit`. */
  readonly remaining: number;
}

export interface WatchQuery {
  readonly resource: string;
  readonly namespace?: string;
  /** Events with a revision above this. Throws `Expired` when those are compacted, or when it is ahead of the store. */
  readonly fromRevision: number;
  readonly signal: AbortSignal;
}

/** Makes a write depend on another object: it happens only while that one is still at this revision. */
export interface WriteCondition {
  readonly key: ObjectKey;
  readonly revision: number;
}

/**
 * Revisioned objects on one global sequence: every write takes the next revision, in commit order, across all
 * resources and the fleet tables; an empty store is at 1. What a resolved promise acknowledged is durable (survives
 * SIGKILL and power loss). A write that cannot be made durable now (full disk) rejects with `ServiceUnavailable`.
 * Errors are `StatusError`. One conformance suite (`objectStoreConformance`) holds for every implementation.
 */
export interface ObjectStore {
  find(key: ObjectKey): Promise<StoredObject | undefined>;
  list(query: ListQuery): Promise<ListResult>;
  /** Throws `AlreadyExists`, or `Conflict` when `condition` does not hold (checked in the same transaction). */
  create(key: ObjectKey, body: string, condition?: WriteCondition): Promise<StoredObject>;
  /** Compare-and-set; throws `NotFound`, or `Conflict` when the object's revision is not `expectedRevision`. */
  update(key: ObjectKey, body: string, expectedRevision: number): Promise<StoredObject>;
  /** Compare-and-set; returns the last state with the revision of the deletion. */
  delete(key: ObjectKey, expectedRevision: number): Promise<StoredObject>;
  /**
   * Events in revision order, none lost, none twice; first from the log, then live. Ends when the signal fires or the
   * store closes. A slow reader costs no memory: it is fed from the log again, and meets `Expired` when compaction has
   * overtaken it.
   */
  watch(query: WatchQuery): AsyncIterable<StoreEvent>;
  /**
   * The newest revision: at least that of every write acknowledged before, by whatever process. Every watch of this store
   * hands out all up to it, and `progress` where nothing else comes.
   */
  currentRevision(): Promise<number>;
  /** Forgets superseded states up to `revision`; watches and lists from before it throw `Expired`. */
  compact(revision: number): Promise<void>;
  /** Closes the whole store, the fleet tables too; what was asked for before is still written. */
  close(): Promise<void>;
}
