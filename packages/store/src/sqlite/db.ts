import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { sqliteError } from './sqlite-error.ts';

export type SqlValue = null | number | string | Uint8Array;

/**
 * The little that the store asks of an SQLite engine; the only file that reads and writes through `node:sqlite`.
 * Everything is synchronous, so what runs between two awaits sees one state. Throws `StatusError`.
 */
export interface Db {
  /** Statements without parameters or results. */
  exec(sql: string): void;
  /** One such statement, prepared once: for those that every write needs. */
  step(sql: string): void;
  /** Returns how many rows changed. Statements are prepared once per text: no values in the text. */
  run(sql: string, values?: readonly SqlValue[]): number;
  get<Row>(sql: string, values?: readonly SqlValue[]): Row | undefined;
  all<Row>(sql: string, values?: readonly SqlValue[]): Row[];
  /** Row by row; nothing else may use the same text meanwhile. */
  iterate<Row>(sql: string, values?: readonly SqlValue[]): Iterable<Row>;
  /** False also after SQLite rolled back by itself (full disk, I/O error). */
  readonly inTransaction: boolean;
  /** Bytes handed to `run` and what they cost in pages, roughly; only ever grows. */
  readonly bytesWritten: number;
  close(): void;
}

export interface OpenDbOptions {
  /** How long to wait for another connection to let go of the file. Blocks. Default 0. */
  readonly busyMilliseconds?: number;
  readonly readOnly?: boolean;
}

export function openDb(path: string, { busyMilliseconds = 0, readOnly = false }: OpenDbOptions = {}): Db {
  try {
    return new NodeSqliteDb(new DatabaseSync(path, { timeout: busyMilliseconds, defensive: true, readOnly }));
  } catch (error) {
    throw sqliteError(error);
  }
}

const bytesPerRow = 8192; // a leaf page of the table and one of an index

class NodeSqliteDb implements Db {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #bytesWritten = 0;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  get inTransaction(): boolean {
    return this.#database.isOpen && this.#database.isTransaction;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  exec(sql: string): void {
    try {
      this.#database.exec(sql);
    } catch (error) {
      throw sqliteError(error);
    }
  }

  step(sql: string): void {
    this.#with(sql, (statement) => statement.run());
  }

  run(sql: string, values: readonly SqlValue[] = []): number {
    this.#bytesWritten += bytesPerRow;
    for (const value of values) {
      if (typeof value === 'string' || value instanceof Uint8Array) this.#bytesWritten += value.length;
    }
    return this.#with(sql, (statement) => Number(statement.run(...values).changes));
  }

  get<Row>(sql: string, values: readonly SqlValue[] = []): Row | undefined {
    return this.#with(sql, (statement) => statement.get(...values)) as Row | undefined;
  }

  all<Row>(sql: string, values: readonly SqlValue[] = []): Row[] {
    return this.#with(sql, (statement) => statement.all(...values)) as Row[];
  }

  *iterate<Row>(sql: string, values: readonly SqlValue[] = []): Iterable<Row> {
    try {
      yield* this.#with(sql, (statement) => statement.iterate(...values)) as Iterable<Row>;
    } catch (error) {
      throw sqliteError(error);
    }
  }

  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #with<Result>(sql: string, use: (statement: StatementSync) => Result): Result {
    try {
      let statement = this.#statements.get(sql);
      if (statement === undefined) {
        statement = this.#database.prepare(sql);
        this.#statements.set(sql, statement);
      }
      return use(statement);
    } catch (error) {
      throw sqliteError(error);
    }
  }
}
