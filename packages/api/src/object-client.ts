import type { KubeObject, ObjectList, ResourceRef } from './object-meta.ts';

/** `MODIFIED` also stands for an object whose intermediate states were skipped. */
export type WatchEvent<T extends KubeObject = KubeObject> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  /** Nothing changed up to this resourceVersion. */
  | { type: 'BOOKMARK'; resourceVersion: string };

export interface ObjectName {
  /** Absent for cluster-scoped kinds. */
  namespace?: string;
  name: string;
}

export interface ListOptions {
  /** Absent: all namespaces. */
  namespace?: string;
  labelSelector?: string;
  fieldSelector?: string;
  /** Of a list: what is kept of each object, applied as it is read. A long list of large objects is then never whole in memory. */
  project?: (object: KubeObject) => KubeObject;
}

/**
 * What controllers, the CLI and tests use to reach objects. Implemented in process (apiserver) and over HTTPS (kube);
 * every method throws `StatusError`. Writers send back the `resourceVersion` that they read: a change in between is a
 * `Conflict`.
 */
export interface ObjectClient {
  get<T extends KubeObject>(resource: ResourceRef, name: ObjectName): Promise<T>;
  /** Like `get`, `undefined` when there is none. */
  find<T extends KubeObject>(resource: ResourceRef, name: ObjectName): Promise<T | undefined>;
  list<T extends KubeObject>(resource: ResourceRef, options?: ListOptions): Promise<ObjectList<T>>;
  /**
   * Events after `resourceVersion`. Ends when the signal fires or the server closes; throws `Expired` when the
   * revision is no longer kept (list again).
   */
  watch<T extends KubeObject>(
    resource: ResourceRef,
    options: ListOptions & { resourceVersion: string; signal: AbortSignal },
  ): AsyncIterable<WatchEvent<T>>;
  create<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T>;
  update<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T>;
  /** Writes `status` only. */
  updateStatus<T extends KubeObject>(resource: ResourceRef, object: T): Promise<T>;
  /** RFC 7396 merge patch. */
  mergePatch<T extends KubeObject>(
    resource: ResourceRef,
    name: ObjectName,
    patch: unknown,
    options?: { subresource?: 'status'; fieldManager?: string },
  ): Promise<T>;
  /** Server-side apply. */
  apply<T extends KubeObject>(
    resource: ResourceRef,
    object: T,
    options: { fieldManager: string; force?: boolean },
  ): Promise<T>;
  delete(
    resource: ResourceRef,
    name: ObjectName,
    options?: { preconditions?: { uid?: string; resourceVersion?: string } },
  ): Promise<void>;
}
