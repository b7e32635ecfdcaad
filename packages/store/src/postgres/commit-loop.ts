import type { Clock, Logger } from '@selvedge/api';
import { StatusError } from '@selvedge/api';
import { storeClosed } from '../store-closed.ts';
import { advisoryLocks } from './advisory-locks.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { registerWriter, removeWriter } from './writer-table.ts';
import { isConnectionLost, isFencedOff, isPassing, postgresError } from './postgres-error.ts';

/** A write that waits for its transaction. */
export interface Job {
  /** When it was asked for, by `performance.now()`. */
  readonly askedAt: number;
  reject(error: StatusError): void;
}

/** A transaction that is committed, or may be. */
export interface BatchId {
  readonly writer: number;
  readonly batch: number;
}

/** A row of `commit_log`, with the revision before it. */
export interface CommitRow {
  readonly id: number;
  readonly before: number;
  readonly revision: number;
}

/** What is particular to one sort of writes. */
export interface BatchWriter<J extends Job> {
  /** Takes what goes into the next transaction out of the queue, at most `limit`, at least one. */
  take(queue: J[], limit: number): J[];
  /**
   * Writes the jobs in one transaction and resolves when it is committed; answering them goes on by itself. Throws when
   * nothing was written, or when the connection was lost.
   */
  commit(connection: Connection, id: BatchId, jobs: readonly J[]): Promise<void>;
  /** The transaction of a commit that lost its connection was committed: answers its jobs; returns those it did not hold. */
  recover(connection: Connection, row: CommitRow, jobs: readonly J[]): Promise<J[]>;
}

export interface CommitLoopOptions {
  readonly connection: ConnectionOptions;
  /** Name of this hub, for people who look into table `writer`. */
  readonly hub: string;
  /** Ids of the keys that this hub has now, the one that it seals with first. */
  readonly keyIds: () => readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long a job waits for a database that is away. */
  readonly patienceMilliseconds: number;
  /** Told of every writer before it writes. */
  readonly onSession: (writer: number) => void;
}

interface Session {
  readonly connection: Connection;
  readonly writer: number;
  batch: number;
}

const maxJobsPerBatch = 500;
const firstPauseMilliseconds = 50;
const longestPauseMilliseconds = 500;

/**
 * Writes what is asked for in the order of asking, all that waits in one transaction. When the connection is lost in
 * the middle of a commit, a new session fences the old one off, so that nothing of it can be committed any more, and
 * looks whether it was: no caller is told of a failure for what is there, nor of success for what is not.
 */
export class CommitLoop<J extends Job> {
  readonly #options: CommitLoopOptions;
  readonly #writer: BatchWriter<J>;
  readonly #stopped = new AbortController();
  #queue: J[] = [];
  #session: Session | undefined;
  #running: Promise<void> | undefined;
  /** So many jobs go alone, each in a transaction of its own, to find the one that made a batch fail. */
  #alone = 0;
  #closed = false;

  constructor(options: CommitLoopOptions, writer: BatchWriter<J>) {
    this.#options = options;
    this.#writer = writer;
  }

  get closed(): boolean {
    return this.#closed;
  }

  add(job: J): void {
    if (this.#closed) {
      job.reject(storeClosed());
      return;
    }
    this.#queue.push(job);
    this.#running ??= this.#run();
  }

  /** Opens the session, so that the first job finds it. Throws StatusError. */
  async connect(): Promise<void> {
    const session = await this.#openSession();
    if (session instanceof StatusError) throw session;
  }

  /** Refuses new jobs and resolves when those that were asked for are settled. */
  async close(): Promise<void> {
    this.#closed = true;
    while (this.#running !== undefined) await this.#running;
    this.#stopped.abort();
    const session = this.#session;
    this.#session = undefined;
    if (session === undefined || session.connection.isLost) return;
    await removeWriter(session.connection, session.writer).catch(() => {});
    await session.connection.close();
  }

  async #run(): Promise<void> {
    // What is asked for in one turn of the event loop goes together.
    await new Promise(setImmediate);
    let pause = firstPauseMilliseconds;
    while (this.#queue.length > 0) {
      const session = await this.#openSession();
      if (session instanceof StatusError) {
        this.#rejectOverdue(session);
        await this.#pause(pause);
        pause = Math.min(pause * 2, longestPauseMilliseconds);
        continue;
      }
      pause = firstPauseMilliseconds;
      await this.#commitNext(session);
    }
    this.#running = undefined;
  }

  async #commitNext(session: Session): Promise<void> {
    const jobs = this.#writer.take(this.#queue, this.#alone > 0 ? 1 : maxJobsPerBatch);
    this.#alone = Math.max(0, this.#alone - 1);
    const id = { writer: session.writer, batch: ++session.batch };
    try {
      await this.#writer.commit(session.connection, id, jobs);
    } catch (error) {
      if (isConnectionLost(error)) await this.#settleUnknown(session, id, jobs);
      else await this.#settleFailed(session, jobs, error);
    }
  }

  /** Nothing was written. */
  async #settleFailed(session: Session, jobs: J[], error: unknown): Promise<void> {
    if (isFencedOff(error)) {
      session.connection.destroy();
      this.#queue.unshift(...jobs);
    } else if (isPassing(error)) {
      this.#queue.unshift(...jobs);
      this.#rejectOverdue(postgresError(error));
      await this.#pause(firstPauseMilliseconds);
    } else if (jobs.length > 1) {
      this.#options.logger.warn('store transaction failed', { error, writes: jobs.length });
      this.#queue.unshift(...jobs);
      this.#alone += jobs.length;
    } else {
      for (const job of jobs) job.reject(postgresError(error));
    }
  }

  async #settleUnknown(session: Session, id: BatchId, jobs: J[]): Promise<void> {
    session.connection.destroy();
    this.#options.logger.warn('store connection lost in a commit', { writes: jobs.length });
    const giveUpAt = Math.max(...jobs.map((job) => job.askedAt)) + this.#options.patienceMilliseconds;
    let pause = firstPauseMilliseconds;
    for (;;) {
      const next = await this.#openSession();
      try {
        if (next instanceof StatusError) throw next.cause;
        const row = await fenceOff(next.connection, id);
        const left = row === undefined ? jobs : await this.#writer.recover(next.connection, row, jobs);
        this.#queue.unshift(...left);
        this.#options.logger.info('store commit settled', { isCommitted: row !== undefined });
        return;
      } catch (error) {
        if (performance.now() + pause > giveUpAt) {
          for (const job of jobs) job.reject(outcomeUnknown(error));
          return;
        }
      }
      await this.#pause(pause);
      pause = Math.min(pause * 2, longestPauseMilliseconds);
    }
  }

  async #openSession(): Promise<Session | StatusError> {
    if (this.#session !== undefined && !this.#session.connection.isLost) return this.#session;
    let connection: Connection | undefined;
    try {
      connection = await Connection.open(this.#options.connection);
      const writer = await registerWriter(connection, this.#options.hub, this.#options.keyIds());
      this.#options.onSession(writer);
      this.#session = { connection, writer, batch: 0 };
      return this.#session;
    } catch (error) {
      connection?.destroy();
      return postgresError(error);
    }
  }

  #rejectOverdue(error: StatusError): void {
    const oldest = performance.now() - this.#options.patienceMilliseconds;
    const overdue = this.#queue.filter((job) => job.askedAt <= oldest);
    if (overdue.length === 0) return;
    this.#queue = this.#queue.filter((job) => job.askedAt > oldest);
    for (const job of overdue) job.reject(error);
  }

  #pause(milliseconds: number): Promise<void> {
    return this.#options.clock.sleep(milliseconds * (0.5 + Math.random() / 2), this.#stopped.signal);
  }
}

/**
 * Ends what the old session may do and returns its transaction when that was committed. Under the lock of all commits:
 * what it had begun is committed or rolled back by then, what comes later finds its writer gone.
 */
async function fenceOff(connection: Connection, { writer, batch }: BatchId): Promise<CommitRow | undefined> {
  const [, , , rows] = await Promise.all([
    connection.query('BEGIN'),
    connection.query(`SELECT pg_advisory_xact_lock(${advisoryLocks.space}, ${advisoryLocks.commit})`),
    removeWriter(connection, writer),
    connection.query<CommitRow>(
      `SELECT c.id, c.revision, (SELECT b.revision FROM commit_log b WHERE b.id = c.id - 1) AS before
       FROM commit_log c WHERE c.writer = $1 AND c.batch = $2`,
      [writer, batch],
    ),
    connection.query('COMMIT'),
  ]);
  return rows[0];
}

function outcomeUnknown(cause: unknown): StatusError {
  return new StatusError(
    'Timeout',
    'the connection to the database was lost in the middle of the write, which may or may not have happened: read before trying again',
    { cause },
  );
}
