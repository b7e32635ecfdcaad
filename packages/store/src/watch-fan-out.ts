import type { StoreEvent, WatchQuery } from './object-store.ts';

type Change = StoreEvent & { type: 'put' | 'delete' };

/** Where watchers read what they were not handed live. */
export interface EventSource {
  /** Everything up to this revision was published; what comes later will be. */
  position(): number;
  /**
   * Throws `Expired` when `revision` is ahead of the store; else `position` is at least there when it returns or resolves.
   */
  reach(revision: number): void | Promise<void>;
  /** Events with `after` < revision ≤ `upTo` in order; throws `Expired` when some of them are forgotten. */
  eventsBetween(query: WatchQuery, range: EventRange): StoreEvent[] | Promise<StoreEvent[]>;
}

export interface EventRange {
  readonly after: number;
  readonly upTo: number;
  readonly limit: number;
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

  /** Call in revision order, after commit, together with the move of the source's position. */
  publish(event: Change): void {
    for (const watcher of this.#watchers.get(event.object.key.resource) ?? []) watcher.offer(event);
  }

  /** Tells watchers without news that nothing happened, so that they can resume from here when the log is compacted. */
  publishProgress(): void {
    const revision = this.#source.position();
    for (const watchers of this.#watchers.values()) {
      for (const watcher of watchers) watcher.offerProgress(revision);
    }
  }

  /** Something was not published: every watcher reads the log again, from where it is. */
  sendToLog(): void {
    for (const watchers of this.#watchers.values()) for (const watcher of watchers) watcher.goToLog();
  }

  async *watch(query: WatchQuery): AsyncGenerator<StoreEvent> {
    const watcher = new Watcher(query, this.#source);
    const watchers = this.#watchers.get(query.resource) ?? new Set();
    this.#watchers.set(query.resource, watchers.add(watcher));
    const wake = () => watcher.wake();
    const isOver = () => this.#closed || query.signal.aborted;
    query.signal.addEventListener('abort', wake);
    try {
      while (!isOver()) {
        const event = watcher.next();
        if (event !== undefined) yield event;
        else if (watcher.isLive) await watcher.news();
        else await watcher.catchUp();
      }
    } catch (error) {
      if (!isOver()) throw error;
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

/**
 * Reads the log up to where the publishing was when it began, and collects what is published meanwhile; when the log
 * is read it is live. So nothing falls in between, however long reading takes.
 */
class Watcher {
  readonly #query: WatchQuery;
  readonly #source: EventSource;
  /** To be handed out, in order. */
  #queue: StoreEvent[] = [];
  /** Published while the log is read; comes behind what is in it. */
  #collected: Change[] = [];
  /** Where reading the log ends; undefined: not begun. Not used when live. */
  #upTo: number | undefined;
  #live = false;
  /** All matching events up to here were put into the queue. */
  #position: number;
  #wake: () => void = () => {};

  constructor(query: WatchQuery, source: EventSource) {
    this.#query = query;
    this.#source = source;
    this.#position = query.fromRevision;
    // From here on, not from the first read on: what is written later comes as it is published.
    if (query.fromRevision <= source.position()) this.#upTo = source.position();
  }

  get isLive(): boolean {
    return this.#live;
  }

  offer(event: Change): void {
    const { namespace } = this.#query;
    if (namespace !== undefined && namespace !== event.object.key.namespace) return;
    if (this.#live) this.#offerLive(event);
    else if (this.#upTo !== undefined) this.#collect(event);
  }

  #offerLive(event: Change): void {
    if (this.#queue.length < maxQueuedEvents) {
      this.#queue.push(event);
      this.#position = event.object.revision;
    } else {
      this.#position = positionBefore(this.#queue[0] ?? event);
      this.#queue = [];
      this.goToLog();
    }
    this.wake();
  }

  #collect(event: Change): void {
    if (this.#collected.length < maxQueuedEvents) {
      this.#collected.push(event);
    } else {
      this.goToLog();
    }
  }

  /** What is collected, and what comes, is read from the log once more. */
  goToLog(): void {
    this.#collected = [];
    this.#upTo = undefined;
    this.#live = false;
    this.wake();
  }

  offerProgress(revision: number): void {
    if (!this.#live || this.#queue.length > 0 || revision <= this.#position) return;
    this.#queue.push({ type: 'progress', revision });
    this.#position = revision;
    this.wake();
  }

  next(): StoreEvent | undefined {
    return this.#queue.shift();
  }

  /** Reads the next page of the log, or goes live behind the last one. */
  async catchUp(): Promise<void> {
    if (this.#upTo === undefined) {
      await this.#source.reach(this.#position);
      this.#upTo = this.#source.position();
    }
    const upTo = this.#upTo;
    const range = { after: this.#position, upTo, limit: pageSize };
    const events = range.after < upTo ? await this.#source.eventsBetween(this.#query, range) : [];
    const last = events.at(-1);
    this.#queue = events;
    if (last !== undefined) this.#position = revisionOf(last);
    if (events.length === pageSize) return;
    this.#position = upTo;
    if (this.#upTo !== upTo) return; // what was collected meanwhile was too much
    this.#live = true;
    this.#queue.push({ type: 'progress', revision: upTo }, ...this.#collected);
    this.#position = this.#collected.at(-1)?.object.revision ?? upTo;
    this.#collected = [];
    this.#upTo = undefined;
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

/** From where the log gives this event again. */
const positionBefore = (event: StoreEvent) =>
  event.type === 'progress' ? event.revision : event.object.revision - 1;
