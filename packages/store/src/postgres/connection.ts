import type { Client } from 'pg';
import pg from 'pg';
import type { ConnectionSettings } from './connection-settings.ts';
import { asConnectionLost } from './postgres-error.ts';

export type SqlValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | readonly (null | boolean | number | string | Uint8Array)[];

export interface ConnectionOptions {
  readonly settings: ConnectionSettings;
  /** Seen in `pg_stat_activity`. */
  readonly name: string;
  /** Longest time for one statement, at the server; a little more here, after which the connection is given up. */
  readonly statementMilliseconds: number;
  /** Further settings of the session, `name=value`. */
  readonly session?: readonly string[];
}

const connectMilliseconds = 3000;
const answerGraceMilliseconds = 1000;
const lockMilliseconds = 8000;
/** How long a hub that stopped in the middle of a transaction may hold up the others. */
const idleInTransactionMilliseconds = 3000;

/**
 * One session. Statements are sent as they are asked for, without waiting for the answers of those before (pipelined),
 * and prepared once per text. An error leaves it usable unless `isLost`.
 */
export class Connection {
  readonly #client: Client;
  readonly #lost = new AbortController();

  private constructor(client: Client) {
    this.#client = client;
    const onLost = () => this.#lost.abort();
    // Queries get the error too; unheard it would end the process.
    client.on('error', onLost);
    client.on('end', onLost);
  }

  static async open(options: ConnectionOptions): Promise<Connection> {
    const { host, port, database, user, password, tls } = options.settings;
    const session = [
      'search_path=selvedge',
      'default_transaction_isolation=read\\ committed',
      'synchronous_commit=on',
      // Statements here are short: to compile one takes longer than to run it.
      'jit=off',
      ...(options.session ?? []),
    ];
    const client = new pg.Client({
      host,
      port,
      database,
      user,
      ...(password === undefined ? {} : { password }),
      ssl: tls,
      application_name: options.name,
      connectionTimeoutMillis: connectMilliseconds,
      statement_timeout: options.statementMilliseconds,
      query_timeout: options.statementMilliseconds + answerGraceMilliseconds,
      lock_timeout: lockMilliseconds,
      idle_in_transaction_session_timeout: idleInTransactionMilliseconds,
      keepAlive: true,
      keepAliveInitialDelayMillis: 5000,
      options: session.map((setting) => `-c ${setting}`).join(' '),
      pipeline: true,
      types: { getTypeParser },
    });
    const connection = new Connection(client);
    try {
      await client.connect();
    } catch (error) {
      connection.destroy();
      throw asConnectionLost(error);
    }
    return connection;
  }

  /** Fires when the session is over, whoever ended it. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get isLost(): boolean {
    return this.lost.aborted;
  }

  /** `text` is a constant: it is prepared once and kept. */
  async query<Row>(text: string, values: readonly SqlValue[] = []): Promise<Row[]> {
    return this.#send<Row>({ name: statementName(text), text, values: values as unknown[] });
  }

  /** One statement without values that is not worth keeping prepared. */
  async fetch<Row>(text: string): Promise<Row[]> {
    return this.#send<Row>({ text });
  }

  /** Statements without values, several at once; each with its own effect. */
  async exec(text: string): Promise<void> {
    await this.#send({ text });
  }

  async #send<Row>(query: { text: string; name?: string; values?: unknown[] }): Promise<Row[]> {
    try {
      return (await this.#client.query(query)).rows as Row[];
    } catch (error) {
      throw asConnectionLost(error);
    }
  }

  /** What the server notifies of, after `LISTEN`. */
  onNotification(listener: (payload: string) => void): void {
    this.#client.on('notification', ({ payload }) => listener(payload ?? ''));
  }

  /** Says goodbye; resolves when the session is over. */
  async close(): Promise<void> {
    await this.#client.end().catch(() => {});
  }

  /** Drops the session at once, whatever it is doing. */
  destroy(): void {
    this.#lost.abort();
    this.#client.connection.stream.destroy();
  }
}

const int8 = 20;

/** Revisions are far below 2^53, so they are numbers. */
const getTypeParser = ((oid: number, format?: 'text' | 'binary') =>
  oid === int8 ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser;

const statementNames = new Map<string, string>();

function statementName(text: string): string {
  let name = statementNames.get(text);
  if (name === undefined) {
    name = `s${statementNames.size + 1}`;
    statementNames.set(text, name);
  }
  return name;
}
