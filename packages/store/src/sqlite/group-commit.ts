import { StatusError, type Logger } from '@selvedge/api';
import type { Db } from './db.ts';
import { readSetting, writeSetting } from './settings.ts';
import { sqliteError } from './sqlite-error.ts';

/** What a write may use besides the database. */
export interface WriteScope {
  /** The next revision of the one sequence; it is given back when the write fails. */
  takeRevision(): number;
  /** Runs once the write is durable, before its promise resolves; in commit order over all writes. Must not throw. */
  afterCommit(action: () => void): void;
}

interface Job {
  readonly work: (scope: WriteScope) => unknown;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

type Outcome = { value: unknown } | { error: unknown };

/** Of a transaction: what to do now that it is durable, and how each of its writes ended. */
interface Committed {
  readonly actions: readonly (() => void)[];
  readonly outcomes: readonly Outcome[];
}

const maxWritesPerCommit = 500;
const checkpointBytes = 4 * 1024 * 1024;

/**
 * The only writer of the database. Writes that are asked for in one turn of the event loop share one transaction and
 * so one fsync. Each runs in its own savepoint: when it throws, its caller alone hears of it. When the transaction
 * itself is lost (full disk), its writes are tried one by one, so that each caller learns its own fate.
 */
export class GroupCommit {
  readonly #db: Db;
  readonly #logger: Logger;
  #jobs: Job[] = [];
  #scheduled = false;
  #closed = false;
  #whenIdle: (() => void)[] = [];
  #committedRevision: number;
  #revision: number;
  #checkpointedBytes = 0;

  constructor(db: Db, logger: Logger) {
    this.#db = db;
    this.#logger = logger;
    this.#revision = readSetting<number>(db, 'revision') ?? 1;
    this.#committedRevision = this.#revision;
  }

  /** The newest durable revision. */
  get revision(): number {
    return this.#committedRevision;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** `work` is synchronous, may throw a StatusError, and may run a second time after a rolled-back attempt. */
  write<Value>(work: (scope: WriteScope) => Value): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      if (this.#closed) {
        reject(storeClosed());
        return;
      }
      this.#jobs.push({ work, resolve, reject });
      this.#schedule();
    });
  }

  /** Refuses new writes and resolves when those already asked for are settled. */
  close(): Promise<void> {
    this.#closed = true;
    return new Promise((resolve) => {
      if (this.#jobs.length === 0) resolve();
      else this.#whenIdle.push(resolve);
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#commitQueued();
    });
  }

  #commitQueued(): void {
    const jobs = this.#jobs.splice(0, maxWritesPerCommit);
    this.#commit(jobs);
    setImmediate(() => this.#checkpointWhenDue());
    if (this.#jobs.length > 0) this.#schedule();
    else for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  #commit(jobs: readonly Job[]): void {
    let committed: Committed;
    try {
      committed = this.#transact(jobs);
    } catch (error) {
      this.#logger.warn('store transaction failed', { error, writes: jobs.length });
      if (jobs.length > 1) for (const job of jobs) this.#commit([job]);
      else for (const job of jobs) job.reject(sqliteError(error));
      return;
    }
    for (const action of committed.actions) action();
    for (const [index, job] of jobs.entries()) {
      const outcome = committed.outcomes[index] as Outcome;
      if ('error' in outcome) job.reject(outcome.error);
      else job.resolve(outcome.value as never);
    }
  }

  /** All or nothing: throws when the transaction is lost. */
  #transact(jobs: readonly Job[]): Committed {
    const actions: (() => void)[] = [];
    const outcomes: Outcome[] = [];
    this.#rollbackIfOpen(); // only when the last rollback failed too
    try {
      this.#db.step('BEGIN IMMEDIATE');
      for (const job of jobs) outcomes.push(this.#runInSavepoint(job, actions));
      if (this.#revision !== this.#committedRevision) writeSetting(this.#db, 'revision', this.#revision);
      this.#db.step('COMMIT');
    } catch (error) {
      this.#revision = this.#committedRevision;
      this.#rollbackIfOpen();
      throw error;
    }
    this.#committedRevision = this.#revision;
    return { actions, outcomes };
  }

  #rollbackIfOpen(): void {
    if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
  }

  #runInSavepoint(job: Job, actions: (() => void)[]): Outcome {
    const revisionBefore = this.#revision;
    const actionsBefore = actions.length;
    this.#db.step('SAVEPOINT job');
    try {
      const value = job.work({
        takeRevision: () => ++this.#revision,
        afterCommit: (action) => actions.push(action),
      });
      this.#db.step('RELEASE job');
      return { value };
    } catch (error) {
      if (!this.#db.inTransaction) throw error;
      this.#db.exec('ROLLBACK TO job; RELEASE job');
      this.#revision = revisionBefore;
      actions.length = actionsBefore;
      return { error };
    }
  }

  /** After the callers were answered, and often, so that no single step is long. */
  #checkpointWhenDue(): void {
    if (this.#closed || this.#db.bytesWritten - this.#checkpointedBytes < checkpointBytes) return;
    this.#checkpointedBytes = this.#db.bytesWritten;
    try {
      this.#db.get('PRAGMA wal_checkpoint(PASSIVE)');
    } catch (error) {
      // Nothing is lost: the log file grows until a later one succeeds.
      this.#logger.warn('store checkpoint failed', { error });
    }
  }
}

export function storeClosed(): StatusError {
  return new StatusError('ServiceUnavailable', 'the store is closed');
}
