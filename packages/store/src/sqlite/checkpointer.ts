import type { Logger } from '@selvedge/api';
import type { Db } from './db.ts';
import type { GroupCommit } from './group-commit.ts';
import type { StoreWorker } from './worker-client.ts';

/** Bytes written after which the log is copied into the database. */
const dueBytes = 8 * 1024 * 1024;
/** Pages in the log after which writers wait for one short pass, so that the log begins anew: 24 MiB. */
const maxLogPages = 6144;
/** Bytes written during one pass after which writers wait for its end: the disk does not keep up. */
const maxBytesDuringPass = 32 * 1024 * 1024;
/** A commit that makes the log file grow costs about twice as much: it is given this size at once. */
const logFileBytes = 32 * 1024 * 1024;

/**
 * Copies the write-ahead log into the database now and then, in the other thread: writers and readers go on. The log
 * begins anew when a pass has copied all of it; while writes never stop that does not come by itself, so beyond a size
 * writes wait for the pass that copies the little that was written during the pass before.
 */
export class Checkpointer {
  readonly #db: Db;
  readonly #commits: () => GroupCommit;
  readonly #worker: StoreWorker;
  readonly #logger: Logger;
  #checkpointedBytes = 0;
  #isLogFileMade = false;
  #areWritersWaiting = false;
  /** Bytes written when writers last had to wait: not again soon, a long reader may keep the log from beginning anew. */
  #heldBytes = 0;
  #running: Promise<void> | undefined;

  constructor(options: {
    db: Db;
    commits: () => GroupCommit;
    worker: StoreWorker;
    logger: Logger;
  }) {
    this.#db = options.db;
    this.#commits = options.commits;
    this.#worker = options.worker;
    this.#logger = options.logger;
  }

  /** Call after each commit; returns at once. */
  afterCommit(): void {
    const bytes = this.#db.bytesWritten - this.#checkpointedBytes;
    if (this.#running !== undefined) {
      if (bytes > maxBytesDuringPass) this.#letWritersWaitFor(this.#running);
      return;
    }
    if (bytes < dueBytes) return;
    this.#checkpointedBytes = this.#db.bytesWritten;
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  #letWritersWaitFor(pass: Promise<void>): void {
    if (this.#areWritersWaiting) return;
    this.#areWritersWaiting = true;
    void this.#commits()
      .hold(() => pass)
      .finally(() => {
        this.#areWritersWaiting = false;
      });
  }

  /** Resolves when the pass under way is done. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      const { logged } = await this.#worker.run('checkpoint');
      if (!this.#isLogFileMade) {
        this.#isLogFileMade = true;
        await this.#commits().hold(() => this.#worker.run('growLog', logFileBytes));
      }
      const sinceHeld = this.#db.bytesWritten - this.#heldBytes;
      if (logged < maxLogPages || sinceHeld < maxLogPages * 1024) return;
      this.#heldBytes = this.#db.bytesWritten;
      await this.#commits().hold(() => this.#worker.run('checkpoint'));
    } catch (error) {
      this.#logger.warn('store checkpoint failed in the second thread', { error });
      this.#checkpointHere();
    }
  }

  /** Holds the event loop, but keeps the log from growing for ever. */
  #checkpointHere(): void {
    try {
      this.#db.get('PRAGMA wal_checkpoint(PASSIVE)');
    } catch (error) {
      // Nothing is lost: the log grows until a later pass succeeds.
      this.#logger.warn('store checkpoint failed', { error });
    }
  }
}
