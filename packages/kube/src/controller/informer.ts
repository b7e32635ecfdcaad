import {
  type Clock,
  isExpired,
  type KubeObject,
  type ListOptions,
  type Logger,
  notFound,
  type ObjectClient,
  type ObjectName,
  type ResourceRef,
  resourceName,
  type WatchEvent,
} from '@selvedge/api';
import { backoffMilliseconds } from './backoff.ts';
import { keyOfName, keyOfObject } from './object-key.ts';

export interface InformerOptions {
  readonly client: Pick<ObjectClient, 'list' | 'watch'>;
  readonly resource: ResourceRef;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
}

/** Called in the order of the changes; intermediate states may be skipped, the coming and going of an object never. */
export interface InformerHandlers<T extends KubeObject> {
  add?(object: T): void;
  update?(object: T, previous: T): void;
  /** With the last known state. An object deleted and made again under its name is a delete, then an add. */
  delete?(object: T): void;
}

/**
 * A local copy of one kind, kept fresh by list and watch: resumes where a watch ended, lists again when the server has
 * forgotten that place, and then reports what was deleted in between. Objects are shared: never change one.
 */
export interface Informer<T extends KubeObject = KubeObject> {
  readonly resource: ResourceRef;
  /** Keeps the copy fresh until the signal fires. Never throws; faults are logged and retried with back-off. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when the first list is in the copy and the handlers know of it; never rejects. */
  readonly synced: Promise<void>;
  readonly isSynced: boolean;
  list(namespace?: string): T[];
  find(name: ObjectName): T | undefined;
  /** Like `find`, throws NotFound. */
  get(name: ObjectName): T;
  /** Hears `add` for every present object first. Returns the unsubscriber. */
  onChange(handlers: InformerHandlers<T>): () => void;
}

export function createInformer<T extends KubeObject>(options: InformerOptions): Informer<T> {
  return new WatchingInformer<T>(options);
}

const retryBackoff = { minMilliseconds: 200, maxMilliseconds: 30_000 };
/** A watch that lived this long was a good one: the next failure is a first one. */
const healthyWatchMilliseconds = 30_000;

class WatchingInformer<T extends KubeObject> implements Informer<T> {
  readonly resource: ResourceRef;
  readonly synced: Promise<void>;
  readonly #options: InformerOptions;
  readonly #query: ListOptions;
  readonly #log: Logger;
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<InformerHandlers<T>>();
  /** Where the next watch starts; undefined: list first. */
  #resourceVersion: string | undefined;
  #isSynced = false;
  #markSynced: () => void = () => undefined;

  constructor(options: InformerOptions) {
    this.#options = options;
    this.resource = options.resource;
    this.#log = options.logger.child({ component: 'informer', resource: resourceName(options.resource) });
    this.#query = {
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
      ...(options.labelSelector === undefined ? {} : { labelSelector: options.labelSelector }),
      ...(options.fieldSelector === undefined ? {} : { fieldSelector: options.fieldSelector }),
    };
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  list(namespace?: string): T[] {
    const all = [...this.#objects.values()];
    return namespace === undefined ? all : all.filter((o) => o.metadata.namespace === namespace);
  }

  find(name: ObjectName): T | undefined {
    return this.#objects.get(keyOfName(name));
  }

  get(name: ObjectName): T {
    const object = this.find(name);
    if (object === undefined) throw notFound(this.resource, name.name);
    return object;
  }

  onChange(handlers: InformerHandlers<T>): () => void {
    for (const object of this.#objects.values()) this.#guard(() => handlers.add?.(object));
    // A copy, so that registering one object of handlers twice gives two registrations.
    const registered: InformerHandlers<T> = {
      add: (object) => handlers.add?.(object),
      update: (object, previous) => handlers.update?.(object, previous),
      delete: (object) => handlers.delete?.(object),
    };
    this.#handlers.add(registered);
    return () => this.#handlers.delete(registered);
  }

  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const startTime = this.#options.clock.now().getTime();
      const outcome = await this.#listAndWatch(signal);
      if (signal.aborted) return;
      const wasHealthy =
        outcome.events > 0 || this.#options.clock.now().getTime() - startTime >= healthyWatchMilliseconds;
      if (wasHealthy) failures = 0;
      const random = this.#options.random;
      const delay = backoffMilliseconds(failures, { ...retryBackoff, ...(random ? { random } : {}) });
      failures += 1;
      if (outcome.error !== undefined) this.#logFailure(outcome.error, delay);
      await this.#options.clock.sleep(delay, signal);
    }
  }

  async #listAndWatch(signal: AbortSignal): Promise<{ events: number; error?: unknown }> {
    let events = 0;
    try {
      if (this.#resourceVersion === undefined) {
        const list = await this.#options.client.list<T>(this.resource, this.#query);
        if (signal.aborted) return { events };
        this.#replace(list.items);
        this.#resourceVersion = list.metadata.resourceVersion;
        this.#isSynced = true;
        this.#markSynced();
      }
      const watch = this.#options.client.watch<T>(this.resource, {
        ...this.#query,
        resourceVersion: this.#resourceVersion,
        signal,
      });
      for await (const event of watch) {
        if (signal.aborted) break;
        events += 1;
        this.#apply(event);
      }
      return { events };
    } catch (error) {
      // Expired: the place in the stream is forgotten, the objects are not; the next list tells what was deleted.
      if (isExpired(error)) this.#resourceVersion = undefined;
      return { events, error };
    }
  }

  #logFailure(error: unknown, retryInMilliseconds: number): void {
    if (isExpired(error)) {
      this.#log.debug('watch expired, listing again', { retryInMilliseconds });
    } else {
      this.#log.warn('list or watch failed', { error, retryInMilliseconds });
    }
  }

  #replace(items: readonly T[]): void {
    const present = new Set(items.map(keyOfObject));
    for (const [key, object] of this.#objects) {
      if (!present.has(key)) this.#removed(key, object);
    }
    for (const item of items) this.#put(item);
  }

  #apply(event: WatchEvent<T>): void {
    if (event.type === 'BOOKMARK') {
      this.#resourceVersion = event.resourceVersion;
      return;
    }
    if (event.type === 'DELETED') {
      const key = keyOfObject(event.object);
      if (this.#objects.has(key)) this.#removed(key, event.object);
    } else {
      this.#put(event.object);
    }
    this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
  }

  #put(object: T): void {
    const key = keyOfObject(object);
    const previous = this.#objects.get(key);
    if (previous !== undefined && previous.metadata.uid === object.metadata.uid) {
      if (previous.metadata.resourceVersion === object.metadata.resourceVersion) return;
      this.#objects.set(key, object);
      this.#tell((h) => h.update?.(object, previous));
      return;
    }
    if (previous !== undefined) this.#removed(key, previous);
    this.#objects.set(key, object);
    this.#tell((h) => h.add?.(object));
  }

  #removed(key: string, lastState: T): void {
    this.#objects.delete(key);
    this.#tell((h) => h.delete?.(lastState));
  }

  #tell(call: (handlers: InformerHandlers<T>) => void): void {
    for (const handlers of this.#handlers) this.#guard(() => call(handlers));
  }

  /** One faulty handler must not stop the stream for the others. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#log.error('informer handler failed', { error });
    }
  }
}
