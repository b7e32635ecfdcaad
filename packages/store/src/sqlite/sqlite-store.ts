import { randomBytes, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type Clock, type Logger, StatusError } from '@selvedge/api';
import type { AesGcmCipher } from '../aes-gcm-cipher.ts';
import { createSnapshotFile, removeHolder } from '../database-holder.ts';
import type { KeyRing } from '../key-ring.ts';
import { defaultRetention, forgetPeriodically, type RetentionPolicy } from '../retention.ts';
import type { StoreRecord } from '../store-record.ts';
import type { Store, StoreVerdict } from '../store.ts';
import { Checkpointer } from './checkpointer.ts';
import type { Db, SqlValue } from './db.ts';
import { hasManyFreePages, returnSomeFreePages } from './free-pages.ts';
import { GroupCommit, storeClosed } from './group-commit.ts';
import { adoptKeys, isResealDue, noteResealed } from './key-check.ts';
import { type Resealer, type ResealStep, resealers } from './reseal.ts';
import { restoreDatabase } from './restore-database.ts';
import { writeSetting } from './settings.ts';
import { SqliteFleetStore } from './sqlite-fleet-store.ts';
import { SqliteObjectStore } from './sqlite-object-store.ts';
import { StoreWorker } from './worker-client.ts';

export interface SqliteStoreParts {
  readonly path: string;
  readonly db: Db;
  readonly lock: { release(): void };
  readonly cipher: AesGcmCipher | undefined;
  readonly keys?: KeyRing;
  readonly sensitiveResources?: ReadonlySet<string>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly retention?: Partial<RetentionPolicy>;
  readonly progressIntervalMilliseconds?: number;
}

const defaultProgressIntervalMilliseconds = 5000;
/** A commit within this time shows that the disk takes writes. */
const checkIntervalMilliseconds = 10_000;
const restMilliseconds = 10;

/** The embedded store: an open database, and the work that goes on in the background. */
export class SqliteStore implements Store {
  readonly engine = 'sqlite';
  readonly objects: SqliteObjectStore;
  readonly fleet: SqliteFleetStore;
  readonly #parts: SqliteStoreParts;
  readonly #db: Db;
  readonly #commits: GroupCommit;
  readonly #worker: StoreWorker;
  readonly #checkpointer: Checkpointer;
  readonly #closing = new AbortController();
  readonly #background: Promise<void>[];
  #keys: KeyRing | undefined;
  #resealing: Promise<unknown> = Promise.resolve();
  #lastCommitAt = -Infinity;
  #instance = randomUUID();
  #closed: Promise<void> | undefined;

  constructor(parts: SqliteStoreParts) {
    const { db, cipher, clock, logger } = parts;
    this.#parts = parts;
    this.#db = db;
    this.#keys = parts.keys;
    this.#worker = this.#newWorker();
    this.#checkpointer = new Checkpointer({
      db,
      commits: () => this.#commits,
      worker: this.#worker,
      logger,
    });
    this.#commits = new GroupCommit(db, logger, () => {
      if (this.#commits.lastFailure === undefined) this.#lastCommitAt = performance.now();
      this.#checkpointer.afterCommit();
    });
    const sensitiveResources = parts.sensitiveResources ?? new Set<string>();
    this.objects = new SqliteObjectStore({
      db,
      commits: this.#commits,
      clock,
      close: () => this.close(),
      ...(cipher === undefined ? {} : { sealing: { cipher, sensitiveResources } }),
    });
    this.fleet = new SqliteFleetStore({
      db,
      commits: this.#commits,
      clock,
      logger,
      ...(cipher ? { cipher } : {}),
    });
    this.#background = [this.#forgetOldStates(), this.#publishProgress(), this.#resealWhenDue()];
  }

  get instance(): string {
    return this.#instance;
  }

  async check(): Promise<void> {
    if (this.#commits.closed) throw storeClosed();
    const isFresh = performance.now() - this.#lastCommitAt < checkIntervalMilliseconds;
    if (isFresh && this.#commits.lastFailure === undefined) return;
    await this.#commits.write(() =>
      writeSetting(this.#db, 'checked_at', this.#parts.clock.now().toISOString()),
    );
  }

  async *dump(signal: AbortSignal): AsyncGenerator<StoreRecord> {
    if (this.#commits.closed) throw storeClosed();
    await this.fleet.flushHeartbeats();
    // A copy, so that a slow reader of the dump does not keep the log from beginning anew.
    const copy = `${this.#parts.path}.snapshot-${randomBytes(6).toString('hex')}`;
    createSnapshotFile(copy);
    const worker = this.#newWorker();
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    const stopWorker = () => void worker.stop();
    stop.addEventListener('abort', stopWorker);
    try {
      if (!stop.aborted) await worker.run('snapshot', copy);
      while (!stop.aborted) {
        const records = await worker.run('nextRecords');
        if (records.length === 0) return;
        yield* records;
      }
    } catch (error) {
      if (!stop.aborted) throw error;
    } finally {
      stop.removeEventListener('abort', stopWorker);
      await worker.stop();
      rmSync(copy, { force: true });
    }
  }

  async whileLeading(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (!signal.aborted) await work(signal); // the lock on the database makes this process the only one
  }

  reseal(signal: AbortSignal): Promise<number> {
    const run = this.#resealing.then(() => this.#resealAll(signal));
    this.#resealing = run.catch(() => {});
    return run;
  }

  async #resealAll(signal: AbortSignal): Promise<number> {
    const { cipher } = this.#parts;
    if (cipher === undefined) return 0;
    const activeAtStart = cipher.activeKeyId;
    let sealed = 0;
    for (const table of resealers(this.#db, cipher, this.#parts.sensitiveResources ?? new Set())) {
      sealed += await this.#resealTable(table, signal);
    }
    if (signal.aborted || this.#closing.signal.aborted) return sealed;
    // Rows written meanwhile were sealed with the active key, unless it was changed on the way.
    await this.#commits.write(() => {
      if (cipher.activeKeyId === activeAtStart) noteResealed(this.#db, cipher);
    });
    return sealed;
  }

  async #resealTable(table: Resealer, signal: AbortSignal): Promise<number> {
    let sealed = 0;
    let after: SqlValue | undefined = table.first;
    while (after !== undefined && !signal.aborted && !this.#closing.signal.aborted) {
      const from: SqlValue = after;
      const step: ResealStep = await this.#commits.write(() => table.step(from));
      sealed += step.sealed;
      after = step.next;
      if (after !== undefined) await this.#parts.clock.sleep(restMilliseconds, signal);
    }
    return sealed;
  }

  async useKeys(keys: KeyRing): Promise<void> {
    const { cipher } = this.#parts;
    if (cipher === undefined) {
      throw new StatusError('BadRequest', 'this store was opened without keys: open it with them');
    }
    await this.#commits.write(() => {
      const before = this.#keys;
      cipher.useKeys(keys);
      try {
        adoptKeys(this.#db, cipher);
        this.#keys = keys;
      } catch (error) {
        if (before !== undefined) cipher.useKeys(before);
        throw error;
      }
    });
  }

  async restore(
    records: AsyncIterable<StoreRecord>,
    { revisionGap }: { readonly revisionGap: number },
  ): Promise<void> {
    const { cipher, sensitiveResources = new Set<string>() } = this.#parts;
    const sealing = cipher && { cipher, sensitiveResources };
    if (this.#commits.closed) throw storeClosed();
    await this.#commits.hold(async () => {
      await restoreDatabase(this.#db, records, { revisionGap, sealing });
      this.#instance = randomUUID();
      this.#commits.revisionChanged();
      this.objects.reload();
      this.fleet.reload();
    });
  }

  async verify(signal: AbortSignal): Promise<StoreVerdict> {
    if (this.#commits.closed) throw storeClosed();
    const worker = this.#newWorker();
    const stopWorker = () => void worker.stop();
    signal.addEventListener('abort', stopWorker);
    try {
      signal.throwIfAborted();
      return await worker.run('verify');
    } finally {
      signal.removeEventListener('abort', stopWorker);
      await worker.stop();
    }
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#closeAll());
  }

  async #closeAll(): Promise<void> {
    this.#closing.abort();
    await this.fleet.closeHeartbeats();
    await this.#commits.close();
    await Promise.all(this.#background);
    await this.#checkpointer.settled();
    await this.#worker.stop();
    this.objects.endWatches();
    removeHolder(this.#parts.path);
    this.#db.close();
    this.#parts.lock.release();
  }

  #newWorker(): StoreWorker {
    return new StoreWorker(() => ({ path: this.#parts.path, keys: this.#keys }));
  }

  async #forgetOldStates(): Promise<void> {
    const { clock, logger, retention } = this.#parts;
    await forgetPeriodically({
      policy: { ...defaultRetention, ...retention },
      clock,
      logger,
      signal: this.#closing.signal,
      currentRevision: () => this.#commits.revision,
      forget: async (revision) => {
        await this.objects.compact(revision);
        await this.fleet.purgeDeleted(revision);
        while (hasManyFreePages(this.#db) && !this.#closing.signal.aborted) {
          await this.#commits.write(() => returnSomeFreePages(this.#db));
          await clock.sleep(restMilliseconds, this.#closing.signal);
        }
      },
    });
  }

  async #publishProgress(): Promise<void> {
    const interval = this.#parts.progressIntervalMilliseconds ?? defaultProgressIntervalMilliseconds;
    while (!this.#closing.signal.aborted) {
      await this.#parts.clock.sleep(interval, this.#closing.signal);
      this.objects.publishProgress();
    }
  }

  /** Goes on with what a restart interrupted, or a migration left to do. */
  async #resealWhenDue(): Promise<void> {
    if (this.#parts.cipher === undefined || !isResealDue(this.#db)) return;
    try {
      const rows = await this.reseal(this.#closing.signal);
      if (rows > 0) this.#parts.logger.info('store rows sealed with the active key', { rows });
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#parts.logger.warn('store rows not sealed anew', { error });
    }
  }
}
