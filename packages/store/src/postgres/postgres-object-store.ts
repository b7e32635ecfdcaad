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
import type { WatchFanOut } from '../watch-fan-out.ts';
import type { CommitFollower } from './commit-follower.ts';
import type { CommitLoop } from './commit-loop.ts';
import type { ConnectionPool } from './connection-pool.ts';
import { forgetStates } from './forget.ts';
import type { ObjectJob, ObjectWrite } from './object-commits.ts';
import type { ObjectLog } from './object-log.ts';

export interface PostgresObjectStoreOptions {
  readonly pool: ConnectionPool;
  readonly log: ObjectLog;
  readonly commits: CommitLoop<ObjectJob>;
  readonly follower: CommitFollower;
  readonly fanOut: WatchFanOut;
  /** Closes the whole store. */
  readonly close: () => Promise<void>;
}

/** `ObjectStore` on PostgreSQL; any number of hubs on one database. */
export class PostgresObjectStore implements ObjectStore {
  readonly #o: PostgresObjectStoreOptions;

  constructor(options: PostgresObjectStoreOptions) {
    this.#o = options;
  }

  find(key: ObjectKey): Promise<StoredObject | undefined> {
    return this.#o.pool.run((connection) => this.#o.log.find(connection, key));
  }

  list(query: ListQuery): Promise<ListResult> {
    return this.#o.pool.run((connection) => this.#o.log.list(connection, query));
  }

  create(key: ObjectKey, body: string, condition?: WriteCondition): Promise<StoredObject> {
    const write = { kind: 'create' as const, key, body, expectedRevision: 0 };
    return this.#write(condition === undefined ? write : { ...write, condition });
  }

  update(key: ObjectKey, body: string, expectedRevision: number): Promise<StoredObject> {
    return this.#write({ kind: 'update', key, body, expectedRevision });
  }

  delete(key: ObjectKey, expectedRevision: number): Promise<StoredObject> {
    return this.#write({ kind: 'delete', key, body: '', expectedRevision });
  }

  #write(write: ObjectWrite): Promise<StoredObject> {
    return new Promise((resolve, reject) => {
      this.#o.commits.add({ ...write, askedAt: performance.now(), resolve, reject });
    });
  }

  watch(query: WatchQuery): AsyncIterable<StoreEvent> {
    return this.#o.fanOut.watch(query);
  }

  /**
   * Asks the database, and resolves when the watches of this hub were offered everything up to that revision, whoever
   * wrote it; those without news get a `progress` event.
   */
  async currentRevision(): Promise<number> {
    const { revision } = await this.#o.follower.catchUp();
    this.#o.fanOut.publishProgress();
    return revision;
  }

  async compact(revision: number): Promise<void> {
    const { revision: current } = await this.#o.follower.catchUp();
    await forgetStates(this.#o.pool, Math.min(revision, current));
  }

  close(): Promise<void> {
    return this.#o.close();
  }
}
