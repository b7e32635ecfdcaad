import type { Clock } from '@selvedge/api';
import { Connection, type ConnectionOptions } from './connection.ts';
import { isConnectionLost, isPassing, postgresError, storeUnavailable } from './postgres-error.ts';
import { storeClosed } from '../store-closed.ts';

export interface ConnectionPoolOptions extends ConnectionOptions {
  readonly size: number;
  readonly clock: Clock;
  /** How long a caller waits for a connection, and for a database that is away. */
  readonly patienceMilliseconds: number;
}

const firstPauseMilliseconds = 50;
const longestPauseMilliseconds = 500;

/**
 * A few connections for work that may be done twice: reads, and writes that repeat without harm. Work that loses its
 * connection is tried again until patience ends; then it is `ServiceUnavailable`.
 */
export class ConnectionPool {
  readonly #options: ConnectionPoolOptions;
  readonly #idle: Connection[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #closing = new AbortController();
  /** In use or being opened. */
  #busy = 0;

  constructor(options: ConnectionPoolOptions) {
    this.#options = options;
  }

  /** Throws StatusError. */
  async run<Value>(work: (connection: Connection) => Promise<Value>): Promise<Value> {
    const { clock, patienceMilliseconds } = this.#options;
    const giveUpAt = performance.now() + patienceMilliseconds;
    for (let pause = firstPauseMilliseconds; ; pause = Math.min(pause * 2, longestPauseMilliseconds)) {
      try {
        return await this.#runOnce(work, giveUpAt);
      } catch (error) {
        if (this.#closing.signal.aborted) throw storeClosed();
        const mayRetry = isConnectionLost(error) || isPassing(error) || isServerAway(error);
        if (!mayRetry || performance.now() + pause > giveUpAt) throw postgresError(error);
      }
      await clock.sleep(pause * (0.5 + Math.random() / 2), this.#closing.signal);
    }
  }

  /** Refuses new work, waits for what is under way, and closes the connections. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const wake of this.#waiting.splice(0)) wake();
    while (this.#busy > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    await Promise.all(this.#idle.splice(0).map((connection) => connection.close()));
  }

  async #runOnce<Value>(work: (connection: Connection) => Promise<Value>, giveUpAt: number): Promise<Value> {
    await this.#takePlace(giveUpAt);
    let connection: Connection | undefined;
    try {
      connection = this.#takeIdle() ?? (await Connection.open(this.#options));
      return await work(connection);
    } catch (error) {
      // What the server thinks of an open transaction is not known any more.
      if (isConnectionLost(error) || isPassing(error)) connection?.destroy();
      throw error;
    } finally {
      if (connection !== undefined && !connection.isLost) this.#idle.push(connection);
      this.#busy -= 1;
      this.#waiting.shift()?.();
    }
  }

  #takeIdle(): Connection | undefined {
    for (let found = this.#idle.pop(); found !== undefined; found = this.#idle.pop()) {
      if (!found.isLost) return found;
    }
    return undefined;
  }

  async #takePlace(giveUpAt: number): Promise<void> {
    while (!this.#closing.signal.aborted && this.#busy >= this.#options.size) {
      const left = giveUpAt - performance.now();
      if (left <= 0) {
        throw storeUnavailable(`all ${this.#options.size} connections to the database are in use`);
      }
      await this.#waitForPlace(left);
    }
    if (this.#closing.signal.aborted) throw storeClosed();
    this.#busy += 1;
  }

  async #waitForPlace(milliseconds: number): Promise<void> {
    const woken = new AbortController();
    const wake = () => woken.abort('woken');
    this.#waiting.push(wake);
    await this.#options.clock.sleep(milliseconds, woken.signal);
    const index = this.#waiting.indexOf(wake);
    if (index >= 0) this.#waiting.splice(index, 1);
  }
}

/** It is there, but takes no sessions for the moment. */
function isServerAway(error: unknown): boolean {
  return ['53300', '57P01', '57P02', '57P03'].includes((error as { code?: string }).code ?? '');
}
