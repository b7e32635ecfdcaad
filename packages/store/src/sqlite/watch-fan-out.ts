import type { StoreEvent, WatchQuery } from '../object-store.ts';

/** Where watchers read what they have not been handed live. */
export interface EventSource {
  /** The newest durable revision. */
  currentRevision(): number;
  /** Events above `revision` in order; throws `Expired` when some of them are forgotten. */
  eventsAfter(query: WatchQuery, revision: number, limit: number): StoreEvent[];
}

const pageSize = 500;
/** A watcher that is further behind loses its queue and reads the log again, so memory stays bounded. */
const maxQueuedEvents = 1000;

/** Hands committed events to the watchers of their resource. */
export class WatchFanOut {
  readonly #source: EventSource;
  readonly #watchers = new Map<string, Set<Watcher>>();
  #closed = false;

  constructor(source: EventSource) {
    this.#source = source;
  }

  /** Call in revision order, after commit, before anything else can run. */
  publish(event: StoreEvent & { type: 'put' | 'delete' }): void {
    for (const watcher of this.#watchers.get(event.object.key.resource) ?? []) watcher.offer(event);
  }

  /** Tells watchers without news that nothing happened, so that they can resume from here when the log is compacted. */
  publishProgress(): void {
    const revision = this.#source.currentRevision();
    for (const watchers of this.#watchers.values()) {
      for (const watcher of watchers) watcher.offerProgress(revision);
    }
  }

  async *watch(query: WatchQuery): AsyncGenerator<StoreEvent> {
    const watcher = new Watcher(query, this.#source);
    const watchers = this.#watchers.get(query.resource) ?? new Set();
    this.#watchers.set(query.resource, watchers.add(watcher));
    const wake = () => watcher.wake();
    query.signal.addEventListener('abort', wake);
    try {
      while (!this.#closed && !query.signal.aborted) {
        const event = watcher.next();
        if (event === undefined) await watcher.news();
        else yield event;
      }
    } finally {
      query.signal.removeEventListener('abort', wake);
      watchers.delete(watcher);
      if (watchers.size === 0) this.#watchers.delete(query.resource);
    }
  }

  /** Ends every watch. */
  close(): void {
    this.#closed = true;
    for (const watchers of this.#watchers.values()) for (const watcher of watchers) watcher.wake();
  }
}

/** Reads the log until it has caught up, then is live: takes offered events into its queue. */
class Watcher {
  readonly #query: WatchQuery;
  readonly #source: EventSource;
  #queue: StoreEvent[] = [];
  #live = false;
  /** All matching events up to here were put into the queue. */
  #position: number;
  #wake: () => void = () => {};

  constructor(query: WatchQuery, source: EventSource) {
    this.#query = query;
    this.#source = source;
    this.#position = query.fromRevision;
  }

  offer(event: StoreEvent & { type: 'put' | 'delete' }): void {
    const { namespace } = this.#query;
    if (!this.#live || (namespace !== undefined && namespace !== event.object.key.namespace)) return;
    if (this.#queue.length >= maxQueuedEvents) {
      const first = this.#queue[0];
      this.#position = (first ? revisionOf(first) : event.object.revision) - 1;
      this.#queue = [];
      this.#live = false;
      return;
    }
    this.#queue.push(event);
    this.#position = event.object.revision;
    this.wake();
  }

  offerProgress(revision: number): void {
    if (!this.#live || this.#queue.length > 0 || revision <= this.#position) return;
    this.#queue.push({ type: 'progress', revision });
    this.#position = revision;
    this.wake();
  }

  /** Undefined: nothing now, wait for `news`. No other code runs between an empty page and going live. */
  next(): StoreEvent | undefined {
    const queued = this.#queue.shift();
    if (queued !== undefined || this.#live) return queued;
    this.#queue = this.#source.eventsAfter(this.#query, this.#position, pageSize);
    const last = this.#queue.at(-1);
    if (last !== undefined) {
      this.#position = revisionOf(last);
      return this.#queue.shift();
    }
    this.#live = true;
    this.#position = this.#source.currentRevision();
    return { type: 'progress', revision: this.#position };
  }

  /** Resolves with the next event offered, or when woken. Call only right after `next` returned undefined. */
  news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  wake(): void {
    this.#wake();
  }
}

const revisionOf = (event: StoreEvent) =>
  event.type === 'progress' ? event.revision : event.object.revision;
