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

/**
 * The only writer of the database. Writes that are asked for in one turn of the event loop share one transaction and
 * so one fsync. Each runs in its own savepoint: when it throws, its caller alone hears of it. When the transaction
 * itself is lost (full disk), its writes are tried one by one, so that each caller learns its own fate.
 */
export class GroupCommit {
  readonly #db: Db;
  readonly #logger: Logger;
  /** After each transaction, when its callers have their answers. */
  readonly #afterCommit: () => void;
  #jobs: Job[] = [];
  #scheduled = false;
  #held = 0;
  #closed = false;
  #whenIdle: (() => void)[] = [];
  #committedRevision: number;
  #revision: number;
  #lastFailure: StatusError | undefined;

  constructor(db: Db, logger: Logger, afterCommit: () => void = () => {}) {
    this.#db = db;
    this.#logger = logger;
    this.#afterCommit = afterCommit;
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

  /** Why the last transaction was lost; undefined when it was committed. */
  get lastFailure(): StatusError | undefined {
    return this.#lastFailure;
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

  /** No transaction begins while the task runs; writes wait. */
  async hold<Value>(task: () => Promise<Value>): Promise<Value> {
    this.#held += 1;
    try {
      return await task();
    } finally {
      this.#held -= 1;
      if (this.#jobs.length > 0) this.#schedule();
      else if (this.#held === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    }
  }

  /** For a task that wrote by itself while it held the writes. */
  revisionChanged(): void {
    this.#revision = readSetting<number>(this.#db, 'revision') ?? 1;
    this.#committedRevision = this.#revision;
  }

  /** Refuses new writes and resolves when those already asked for are settled. */
  close(): Promise<void> {
    this.#closed = true;
    return new Promise((resolve) => {
      if (this.#jobs.length === 0 && this.#held === 0) resolve();
      else this.#whenIdle.push(resolve);
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#held > 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#held === 0) this.#commitQueued();
    });
  }

  #commitQueued(): void {
    const jobs = this.#jobs.splice(0, maxWritesPerCommit);
    this.#commit(jobs);
    if (this.#jobs.length > 0) this.#schedule();
    else for (const resolve of this.#whenIdle.splice(0)) resolve();
    if (!this.#closed) this.#afterCommit();
  }

  #commit(jobs: readonly Job[]): void {
    let committed: Committed;
    try {
      committed = this.#transact(jobs);
      this.#lastFailure = undefined;
    } catch (error) {
      this.#lastFailure = sqliteError(error);
      this.#logger.warn('store transaction failed', { error, writes: jobs.length });
      if (jobs.length > 1) for (const job of jobs) this.#commit([job]);
      else for (const job of jobs) job.reject(this.#lastFailure);
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
      for (const job of jobs) outcomes.push(this.#run(job, { actions, isAlone: jobs.length === 1 }));
      if (this.#revision !== this.#committedRevision) writeSetting(this.#db, 'revision', this.#revision);
      if (this.#db.inTransaction) this.#db.step('COMMIT'); // else the only write was refused
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

  /** A write that is alone in its transaction needs no savepoint: when it is refused, all of it is rolled back. */
  #run(job: Job, { actions, isAlone }: { actions: (() => void)[]; isAlone: boolean }): Outcome {
    const revisionBefore = this.#revision;
    const actionsBefore = actions.length;
    if (!isAlone) this.#db.step('SAVEPOINT job');
    try {
      const value = job.work({
        takeRevision: () => ++this.#revision,
        afterCommit: (action) => actions.push(action),
      });
      if (!isAlone) this.#db.step('RELEASE job');
      return { value };
    } catch (error) {
      if (!this.#db.inTransaction) throw error;
      this.#db.exec(isAlone ? 'ROLLBACK' : 'ROLLBACK TO job; RELEASE job');
      this.#revision = revisionBefore;
      actions.length = actionsBefore;
      return { error };
    }
  }
}

export function storeClosed(): StatusError {
  return new StatusError('ServiceUnavailable', 'the store is closed');
}
