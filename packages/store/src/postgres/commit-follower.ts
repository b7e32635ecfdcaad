import type { Clock, Logger } from '@selvedge/api';
import { StatusError } from '@selvedge/api';
import type { FleetChange } from '../fleet-store.ts';
import { changesChannel } from './changes-channel.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import type { ConnectionPool } from './connection-pool.ts';
import type { ObjectChange } from './object-log.ts';
import { SharedRead } from './shared-read.ts';

/** What a commit changed. */
export type Change = { readonly kind: 'object'; readonly event: ObjectChange } | FleetChange;

/** A place in the sequence of commits. */
export interface Position {
  readonly id: number;
  readonly revision: number;
}

/** A commit of this hub. Without `changes` they are read from the log. */
export interface OwnCommit extends Position {
  readonly changes?: readonly Change[];
}

interface NewestCommit extends Position {
  readonly writer: number;
}

export interface CommitFollowerOptions {
  readonly connection: ConnectionOptions;
  readonly pool: ConnectionPool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly start: Position;
  readonly pollMilliseconds: number;
  /** Longest wait of a write for the commits before it to be read, and of a read for those up to now. */
  readonly patienceMilliseconds: number;
  /** Reads what changed in (after, upTo], in order; `undefined` when some of it is forgotten already. */
  readonly readChanges: (after: Position, upTo: readonly Position[]) => Promise<Change[][] | undefined>;
  readonly publish: (change: Change) => void;
  /** What was between is forgotten, and was not published: this hub was away for too long. */
  readonly onGap: (after: Position) => void;
}

const commitsPerRead = 500;
/** A commit has at most 500 of them, so a read is bounded. */
const revisionsPerRead = 1000;
const ownAnswerMilliseconds = 1000;

/**
 * Publishes the changes of all hubs on this one, in commit order, each once. This hub's own commits come from memory
 * when nothing of others is in between, the rest from the log. It hears of others by NOTIFY and looks by itself every
 * second, so a notification that is lost only delays.
 */
export class CommitFollower {
  readonly #options: CommitFollowerOptions;
  readonly #stopped = new AbortController();
  /** Own commits that wait for those before them. */
  readonly #own = new Map<number, OwnCommit>();
  readonly #ownWriters = new Set<number>();
  readonly #waiting = new Set<{ readonly id: number; readonly wake: () => void }>();
  #position: Position;
  #reading: Promise<void> | undefined;
  #readAgain = false;
  readonly #newest: SharedRead<NewestCommit>;
  readonly #listening: Promise<void>;

  constructor(options: CommitFollowerOptions) {
    this.#options = options;
    this.#position = options.start;
    this.#newest = new SharedRead(() => options.pool.run(newestCommit));
    this.#listening = this.#listen();
  }

  /** Everything up to here is published. */
  get position(): Position {
    return this.#position;
  }

  /** Their commits come by `publishOwn`. */
  addOwnWriter(writer: number): void {
    this.#ownWriters.add(writer);
  }

  /** Resolves when the commit is published, or after a bound when the database is away. */
  async publishOwn(commit: OwnCommit): Promise<void> {
    if (commit.id <= this.#position.id) return;
    this.#own.set(commit.id, commit);
    if (this.#reading === undefined) this.#publishStored();
    if (commit.id <= this.#position.id) return;
    this.#readOn();
    await this.#reached(commit.id, this.#options.patienceMilliseconds);
  }

  /** The newest commit there is, whoever made it, once it is published here. */
  async catchUp(): Promise<Position> {
    const newest = await this.#newest.get();
    if (newest.id <= this.#position.id) return newest;
    // The answer to an own commit is on its way and brings what it changed.
    if (this.#ownWriters.has(newest.writer)) await this.#reached(newest.id, ownAnswerMilliseconds);
    if (newest.id > this.#position.id) {
      this.#readOn();
      await this.#reached(newest.id, this.#options.patienceMilliseconds);
    }
    if (newest.id > this.#position.id && !this.#stopped.signal.aborted) {
      throw new StatusError('ServiceUnavailable', 'the store lags behind its database: ask again', {
        details: { retryAfterSeconds: 2 },
      });
    }
    return newest;
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    for (const { wake } of this.#waiting) wake();
    await this.#listening;
    await this.#reading;
  }

  #reached(id: number, milliseconds: number): Promise<void> {
    if (id <= this.#position.id || this.#stopped.signal.aborted) return Promise.resolve();
    const woken = new AbortController();
    const waiter = { id, wake: () => woken.abort('woken') };
    this.#waiting.add(waiter);
    return this.#options.clock.sleep(milliseconds, woken.signal).finally(() => this.#waiting.delete(waiter));
  }

  #moveTo({ id, revision }: Position): void {
    this.#position = { id, revision };
    this.#own.delete(id);
    for (const waiter of this.#waiting) if (waiter.id <= id) waiter.wake();
  }

  /** Publishes own commits as long as nothing is missing in between. */
  #publishStored(): void {
    for (;;) {
      const next = this.#own.get(this.#position.id + 1);
      if (next?.changes === undefined) return;
      this.#publishCommit(next, next.changes);
    }
  }

  #publishCommit(commit: Position, changes: readonly Change[]): void {
    // The position first: who reads when it hears of a change finds it there.
    this.#position = { id: commit.id, revision: commit.revision };
    for (const change of changes) this.#options.publish(change);
    this.#moveTo(commit);
  }

  #readOn(): void {
    if (this.#reading !== undefined) {
      this.#readAgain = true;
      return;
    }
    this.#reading = this.#readAll().finally(() => {
      this.#reading = undefined;
      this.#publishStored();
      if (this.#readAgain && !this.#stopped.signal.aborted) this.#readOn();
    });
  }

  async #readAll(): Promise<void> {
    const { logger, clock, pollMilliseconds } = this.#options;
    this.#readAgain = false;
    try {
      while (!this.#stopped.signal.aborted && (await this.#readSome()));
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      logger.warn('commits of the store not read', { error });
      this.#readAgain = true;
      await clock.sleep(pollMilliseconds * (0.5 + Math.random() / 2), this.#stopped.signal);
    }
  }

  /** Returns whether there may be more. */
  async #readSome(): Promise<boolean> {
    const { pool, readChanges, onGap } = this.#options;
    const after = this.#position;
    const commits = await pool.run((connection) =>
      connection.query<Position>(
        `SELECT id, revision FROM commit_log WHERE id > $1 ORDER BY id LIMIT ${commitsPerRead}`,
        [after.id],
      ),
    );
    const last = commits.at(-1);
    if (last === undefined) return false;
    const within = commits.filter(
      ({ revision }, i) => i === 0 || revision - after.revision <= revisionsPerRead,
    );
    const isWhole = commits[0]?.id === after.id + 1;
    const changes = isWhole ? await readChanges(after, within) : undefined;
    if (changes === undefined) {
      onGap(after);
      this.#own.clear();
      this.#moveTo(last);
      return true;
    }
    for (const [i, commit] of within.entries()) this.#publishCommit(commit, changes[i] ?? []);
    return within.length < commits.length || commits.length === commitsPerRead;
  }

  async #listen(): Promise<void> {
    const { connection: options, clock, logger, pollMilliseconds } = this.#options;
    const { signal } = this.#stopped;
    const jitter = () => 0.75 + Math.random() / 2;
    while (!signal.aborted) {
      let connection: Connection | undefined;
      try {
        connection = await Connection.open(options);
        const isOver = AbortSignal.any([signal, connection.lost]);
        connection.onNotification((payload) => this.#hear(payload));
        await connection.exec(`LISTEN ${changesChannel}`);
        while (!isOver.aborted) {
          const newest = await newestCommit(connection);
          if (newest.id > this.#position.id) this.#readOn();
          await clock.sleep(pollMilliseconds * jitter(), isOver);
        }
        if (!signal.aborted) logger.warn('store notifications lost: connecting again');
      } catch (error) {
        if (!signal.aborted) logger.warn('store notifications not to be had', { error });
        await clock.sleep(pollMilliseconds * jitter(), signal);
      }
      await connection?.close();
    }
  }

  #hear(payload: string): void {
    const [id = 0, writer = 0] = payload.split(' ').map(Number);
    if (id > this.#position.id && !this.#ownWriters.has(writer)) this.#readOn();
  }
}

async function newestCommit(connection: Connection): Promise<NewestCommit> {
  const [row] = await connection.query<NewestCommit>(
    'SELECT id, revision, writer FROM commit_log ORDER BY id DESC LIMIT 1',
  );
  if (row === undefined) throw new StatusError('InternalError', 'the store has lost its sequence');
  return row;
}
