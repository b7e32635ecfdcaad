import { alreadyExists, type Clock, conflict, notFound, StatusError } from '@selvedge/api';
import type {
  ListQuery,
  ListResult,
  ObjectKey,
  ObjectStore,
  StoredObject,
  StoreEvent,
  WatchQuery,
  WriteCondition,
} from '../object-store.ts';
import { WatchFanOut } from '../watch-fan-out.ts';
import type { Db } from './db.ts';
import { storeClosed, type GroupCommit, type WriteScope } from './group-commit.ts';
import { ObjectLog, type Sealing } from './object-log.ts';
import { RecentStates } from './recent-states.ts';
import { readSetting, writeSetting } from './settings.ts';
import { SmallSteps } from './small-steps.ts';

export interface SqliteObjectStoreOptions {
  readonly db: Db;
  readonly commits: GroupCommit;
  readonly clock: Clock;
  readonly sealing?: Sealing;
  /** Closes the whole store. */
  readonly close: () => Promise<void>;
}

/** `ObjectStore` on SQLite. Reads see what is committed; writes go through the group commit. */
export class SqliteObjectStore implements ObjectStore {
  readonly #commits: GroupCommit;
  readonly #db: Db;
  readonly #log: ObjectLog;
  readonly #fanOut: WatchFanOut;
  readonly #recent = new RecentStates();
  readonly #close: () => Promise<void>;
  readonly #steps: SmallSteps;
  #compacted: number;
  /** Where the last page ended, and how many came behind it. */
  #lastPage: { query: ListQuery; revision: number; remaining: number } | undefined;
  /** The last compaction asked for: they run one after another. */
  #compaction: Promise<void> = Promise.resolve();

  constructor(options: SqliteObjectStoreOptions) {
    this.#commits = options.commits;
    this.#db = options.db;
    this.#log = new ObjectLog(options.db, options.sealing);
    this.#close = options.close;
    this.#steps = new SmallSteps(options.clock);
    this.#compacted = readSetting<number>(options.db, 'compacted') ?? 1;
    this.#fanOut = new WatchFanOut({
      position: () => this.#commits.revision,
      reach: (revision) => this.#requireKept(revision),
      eventsBetween: (query, range) => {
        this.#requireKept(range.after);
        return this.#log.eventsBetween(query, range);
      },
    });
  }

  async find(key: ObjectKey): Promise<StoredObject | undefined> {
    this.#requireOpen();
    return this.#find(key);
  }

  #find(key: ObjectKey): StoredObject | undefined {
    const revision = this.#log.findRevision(key);
    if (revision === undefined) return undefined;
    const recent = this.#recent.find(revision);
    if (recent !== undefined) return recent;
    const object = this.#log.find(key);
    // Not what a transaction is about to commit.
    if (object !== undefined && object.revision <= this.#commits.revision) this.#recent.keep(object);
    return object;
  }

  async list(query: ListQuery): Promise<ListResult> {
    this.#requireOpen();
    const current = this.#commits.revision;
    const revision = query.atRevision ?? current;
    this.#requireKept(revision);
    const isNow = revision === current;
    const objects = isNow ? this.#log.listLatest(query) : this.#log.listAt(query, revision);
    if (query.limit === undefined || objects.length < query.limit) return { objects, revision, remaining: 0 };
    const last = objects.at(-1)?.key;
    const rest = last ? { ...query, after: { namespace: last.namespace, name: last.name } } : query;
    const count = () => (isNow ? this.#log.countLatest(rest) : this.#log.countAt(rest, revision));
    const remaining = this.#remainingAfterLastPage(query, revision, objects.length) ?? count();
    this.#lastPage = { query: rest, revision, remaining };
    return { objects, revision, remaining };
  }

  /** Known without counting when this page follows the last one: who reads all pages would count all of them each time. */
  #remainingAfterLastPage(query: ListQuery, revision: number, length: number): number | undefined {
    const last = this.#lastPage;
    const isNext =
      last?.revision === revision &&
      last.query.resource === query.resource &&
      last.query.namespace === query.namespace &&
      last.query.after?.namespace === query.after?.namespace &&
      last.query.after?.name === query.after?.name;
    return isNext ? last.remaining - length : undefined;
  }

  create(key: ObjectKey, body: string, condition?: WriteCondition): Promise<StoredObject> {
    return this.#commits.write((scope) => {
      if (condition !== undefined) this.#requireHolds(condition);
      if (this.#log.findRevision(key) !== undefined) throw alreadyExists(named(key), key.name);
      const revision = scope.takeRevision();
      return this.#put(scope, { key: copyKey(key), body, revision, createRevision: revision });
    });
  }

  update(key: ObjectKey, body: string, expectedRevision: number): Promise<StoredObject> {
    return this.#commits.write((scope) => {
      const previous = this.#getExpected(key, expectedRevision);
      const revision = scope.takeRevision();
      return this.#put(scope, { ...previous, body, revision }, previous);
    });
  }

  delete(key: ObjectKey, expectedRevision: number): Promise<StoredObject> {
    return this.#commits.write((scope) => {
      const previous = this.#getExpected(key, expectedRevision);
      const object = { ...previous, revision: scope.takeRevision() };
      this.#log.delete(object, previous);
      scope.afterCommit(() => this.#fanOut.publish({ type: 'delete', object }));
      return object;
    });
  }

  #put(scope: WriteScope, object: StoredObject, previous?: StoredObject): StoredObject {
    this.#log.put(object, previous);
    const event = { type: 'put' as const, object, ...(previous === undefined ? {} : { previous }) };
    scope.afterCommit(() => {
      this.#recent.keep(object);
      this.#fanOut.publish(event);
    });
    return object;
  }

  #requireHolds({ key, revision }: WriteCondition): void {
    if (this.#log.findRevision(key) === revision) return;
    throw conflict(named(key), key.name, 'it has been modified or deleted meanwhile; please try again');
  }

  #getExpected(key: ObjectKey, expectedRevision: number): StoredObject {
    const object = this.#find(key);
    if (object === undefined) throw notFound(named(key), key.name);
    if (object.revision !== expectedRevision) {
      throw conflict(
        named(key),
        key.name,
        'the object has been modified; please apply your changes to the latest version and try again',
      );
    }
    return object;
  }

  watch(query: WatchQuery): AsyncIterable<StoreEvent> {
    return this.#fanOut.watch(query);
  }

  async currentRevision(): Promise<number> {
    this.#requireOpen();
    this.#fanOut.publishProgress();
    return this.#commits.revision;
  }

  compact(revision: number): Promise<void> {
    const run = this.#compaction.then(() => this.#compactTo(revision));
    this.#compaction = run.catch(() => {});
    return run;
  }

  async #compactTo(revision: number): Promise<void> {
    const target = Math.min(revision, this.#commits.revision);
    await this.#steps.run(async (size) => {
      if (this.#compacted >= target) return false;
      const from = this.#compacted;
      const to = Math.min(target, from + size);
      await this.#commits.write((scope) => {
        this.#steps.measure(() => {
          this.#log.forget(from, to);
          writeSetting(this.#db, 'compacted', to);
        });
        scope.afterCommit(() => {
          this.#compacted = to;
        });
      });
      return to < target;
    });
  }

  /** After the database was filled from outside. */
  reload(): void {
    this.#compacted = readSetting<number>(this.#db, 'compacted') ?? 1;
  }

  /** Sends a `progress` event to watchers that saw nothing lately. */
  publishProgress(): void {
    this.#fanOut.publishProgress();
  }

  endWatches(): void {
    this.#fanOut.close();
  }

  close(): Promise<void> {
    return this.#close();
  }

  #requireOpen(): void {
    if (this.#commits.closed) throw storeClosed();
  }

  #requireKept(revision: number): void {
    if (revision < this.#compacted) {
      throw new StatusError(
        'Expired',
        `revision ${revision} is too old (the oldest kept is ${this.#compacted}): list again`,
      );
    }
    if (revision > this.#commits.revision) {
      throw new StatusError(
        'Expired',
        `revision ${revision} is ahead of the store (${this.#commits.revision}), which may have been restored from a backup: list again`,
      );
    }
  }
}

const copyKey = ({ resource, namespace, name }: ObjectKey): ObjectKey => ({ resource, namespace, name });

/** `sites.selvedge.dev` as the error constructors want it. */
function named(key: ObjectKey): { plural: string; group: string } {
  const [plural = '', ...group] = key.resource.split('.');
  return { plural, group: group.join('.') };
}
