import type { Clock, Logger } from '@selvedge/api';
import { advisoryLocks } from './advisory-locks.ts';
import { Connection, type ConnectionOptions } from './connection.ts';

/** How often the leader shows that it lives, and others ask for the lead. */
const beatMilliseconds = 1000;
/** An answer that takes longer counts as a lost lead. */
const answerMilliseconds = 2000;
/** A leader from which the server hears nothing for so long (stopped, cut off) loses the lead. */
const silenceMilliseconds = 6000;
/**
 * How long a new leader waits when the one before did not say goodbye. That one asks a second after each answer and
 * waits three for the next, so within four seconds its work has been told to end, unless the process stands still.
 */
const graceMilliseconds = 5000;

export interface LeadershipOptions {
  readonly connection: Omit<ConnectionOptions, 'statementMilliseconds'>;
  /** Name of this hub. */
  readonly hub: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Runs work on one hub at a time. The lead is an advisory lock of a session, so it ends with the process or its
 * connection; the leader shows every second that it lives, and the server ends a session that is silent for six.
 */
export class Leadership {
  readonly #options: LeadershipOptions;

  constructor(options: LeadershipOptions) {
    this.#options = options;
  }

  async whileLeading(signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { clock, logger } = this.#options;
    while (!signal.aborted) {
      let connection: Connection | undefined;
      try {
        connection = await this.#connect();
        await this.#leadOnce(connection, signal, work);
      } catch (error) {
        if (!signal.aborted) logger.warn('lead not to be had', { error });
      }
      await connection?.close();
      await clock.sleep(beatMilliseconds * jitter(), signal);
    }
  }

  #connect(): Promise<Connection> {
    const { connection } = this.#options;
    return Connection.open({
      ...connection,
      statementMilliseconds: answerMilliseconds,
      session: [...(connection.session ?? []), `idle_session_timeout=${silenceMilliseconds}`],
    });
  }

  async #leadOnce(
    connection: Connection,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { clock, logger, hub } = this.#options;
    const isOver = AbortSignal.any([signal, connection.lost]);
    while (!(await tryLock(connection))) {
      await clock.sleep(beatMilliseconds * jitter(), isOver);
      if (isOver.aborted) return;
    }
    const wait = (await takeOver(connection, hub)) ? graceMilliseconds : 0;
    const leading = new AbortController();
    const lost = AbortSignal.any([signal, leading.signal]);
    const beating = this.#beat(connection, leading);
    await clock.sleep(wait, lost);
    if (!lost.aborted) {
      logger.info('leading', { hub });
      try {
        await work(lost);
      } finally {
        logger.info('leading no more', { hub, isLost: leading.signal.aborted });
      }
    }
    leading.abort();
    await beating;
    // Only now, when the work has ended, another may begin at once.
    if (connection.isLost) return;
    await connection.query('UPDATE leader SET is_released = true WHERE hub = $1', [hub]);
  }

  /** Asks the server until the lead is lost or given up; then tells. */
  async #beat(connection: Connection, leading: AbortController): Promise<void> {
    const { clock } = this.#options;
    const isOver = AbortSignal.any([leading.signal, connection.lost]);
    const onLost = () => leading.abort();
    connection.lost.addEventListener('abort', onLost);
    try {
      while (!isOver.aborted) {
        await clock.sleep(beatMilliseconds, isOver);
        if (!isOver.aborted) await connection.query('SELECT 1');
      }
    } catch {
      leading.abort();
      connection.destroy();
    } finally {
      connection.lost.removeEventListener('abort', onLost);
    }
  }
}

async function tryLock(connection: Connection): Promise<boolean> {
  const [row] = await connection.query<{ locked: boolean }>(
    `SELECT pg_try_advisory_lock(${advisoryLocks.space}, ${advisoryLocks.lead}) AS locked`,
  );
  return row?.locked ?? false;
}

/** Returns whether the leader before may still be at work. */
async function takeOver(connection: Connection, hub: string): Promise<boolean> {
  const [before] = await connection.query<{ is_released: boolean }>('SELECT is_released FROM leader');
  await connection.query('UPDATE leader SET hub = $1, is_released = false', [hub]);
  return before?.is_released === false;
}

const jitter = () => 0.75 + Math.random() / 2;
