import { chmodSync, closeSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Columns of one row; SQLite's own types. */
export type Row = Record<string, string | number | bigint | null | Uint8Array>;
type Value = string | number | bigint | null | Uint8Array;

/**
 * The agent's SQLite database, STATE/agent.db. WAL with `synchronous=FULL`: what `transaction` returned from is on the disk,
 * and what it did not return from has not happened.
 */
export class AgentDatabase {
  readonly #database: DatabaseSync;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  static open(stateDir: string): AgentDatabase {
    const path = join(stateDir, 'agent.db');
    keepPrivate(path);
    // Commands of a person at the site write beside a running agent, for some milliseconds.
    const database = new DatabaseSync(path, { timeout: 5000 });
    try {
      // The cache is small on purpose: the agent has few rows and 64 MB for everything.
      database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-256');
      migrate(database, path);
    } catch (error) {
      database.close();
      throw damagedOr(error, path);
    }
    return new AgentDatabase(database);
  }

  /** For `status`: never writes, works beside a running agent. */
  static openReadOnly(stateDir: string): AgentDatabase {
    return new AgentDatabase(new DatabaseSync(join(stateDir, 'agent.db'), { readOnly: true, timeout: 2000 }));
  }

  all(sql: string, ...values: Value[]): Row[] {
    return this.#database.prepare(sql).all(...values) as Row[];
  }

  find(sql: string, ...values: Value[]): Row | undefined {
    return this.#database.prepare(sql).get(...values) as Row | undefined;
  }

  run(sql: string, ...values: Value[]): void {
    this.#database.prepare(sql).run(...values);
  }

  /** All of `work` or nothing of it; one inside another joins it. */
  transaction<T>(work: () => T): T {
    if (this.#database.isTransaction) return work();
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      // A full disk can end the transaction by itself.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  /** Changes when another connection wrote something: a person used a command beside the running agent. */
  get foreignVersion(): number {
    return Number(this.find('PRAGMA data_version')?.['data_version'] ?? 0);
  }

  /** Of the tables; `openReadOnly` does not migrate. */
  get version(): number {
    return Number(this.find('PRAGMA user_version')?.['user_version'] ?? 0);
  }

  close(): void {
    this.#database.close();
  }
}

/** The write found no space (or quota). It left nothing behind and can be tried again. */
export function isStorageFull(error: unknown): boolean {
  const { errcode, code } = error as { errcode?: number; code?: string };
  return (
    (errcode !== undefined && fullCodes.has(errcode)) ||
    code === 'ENOSPC' ||
    code === 'EDQUOT' ||
    code === 'EFBIG'
  );
}

/** For a write that is made again later, or can be done without. @returns false when there was no space for it. */
export function unlessStorageFull(write: () => void): boolean {
  try {
    write();
    return true;
  } catch (error) {
    if (!isStorageFull(error)) throw error;
    return false;
  }
}

// SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_SHMSIZE: the latter two are how the WAL and its index say it.
const fullCodes = new Set([13, 778, 4874]);
const damagedCodes = new Set([11, 26]);
/*
 * states    accepted desired states that are still needed, as they were signed
 * removals  orders to remove, carried out (done) or not
 * reports   the newest report per item
 * content   manifests by digest, sealed
 * memories  what each item runs and what was found out about its releases, with a seal of this agent
 * holds     set by a person at the site; item '' is the whole site
 * acts      what was done at the site, told to the hub or not
 * orders    what a person ordered and the agent has not taken up yet
 * sealed    values for this site as they came: signed by the hub, sealed to the key of this site; the newest number is the newest
 * machines  what the rack knows of each box and is doing with it; machine_reports what the hub was told; machine_inventories as taken
 * items     (until version 1) what the driver was told to run; taken over into memories at the next start
 */
const migrations = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE states (digest TEXT PRIMARY KEY, signed TEXT NOT NULL, body TEXT NOT NULL) STRICT;
  CREATE TABLE items (
    id TEXT, uid TEXT, state_digest TEXT NOT NULL REFERENCES states (digest), PRIMARY KEY (id, uid)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE removals (
    id TEXT, uid TEXT, epoch INTEGER NOT NULL, done INTEGER NOT NULL, PRIMARY KEY (id, uid)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE reports (
    id TEXT, uid TEXT, seq INTEGER NOT NULL, delivered INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (id, uid)
  ) STRICT;
  CREATE TABLE content (digest TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
`,
  `
  ALTER TABLE removals ADD COLUMN mode TEXT NOT NULL DEFAULT 'Delete';
  CREATE TABLE memories (
    id TEXT, uid TEXT, body TEXT NOT NULL, seal TEXT NOT NULL, PRIMARY KEY (id, uid)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE holds (item TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE acts (seq INTEGER PRIMARY KEY, told INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
  CREATE TABLE orders (number INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
`,
  `
  CREATE TABLE sealed (
    id TEXT, version TEXT, number INTEGER NOT NULL, fetched TEXT NOT NULL, signed TEXT NOT NULL, PRIMARY KEY (id, version)
  ) STRICT, WITHOUT ROWID;
`,
  `
  CREATE TABLE machines (key TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
  CREATE TABLE machine_reports (
    key TEXT PRIMARY KEY, seq INTEGER NOT NULL, told INTEGER NOT NULL, said TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE machine_inventories (
    key TEXT PRIMARY KEY, digest TEXT NOT NULL, told INTEGER NOT NULL, body TEXT NOT NULL
  ) STRICT;
`,
];
/** From which on the tables of a person's acts exist. */
export const versionOfActs = 2;
export const versionOfMachines = 4;

/**
 * Only its owner can read it: there are logs and values of applications in it. SQLite gives its other files the mode of the
 * first. A file that is there is not opened: closing it would take away the locks that this process has on it.
 */
function keepPrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0;
    if ((mode & 0o077) !== 0) chmodSync(file, 0o600);
  }
}

function migrate(database: DatabaseSync, path: string): void {
  const version = () =>
    (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
  if (version() === migrations.length) return;
  if (version() > migrations.length) {
    throw new Error(`${path} was written by a newer agent; install that version or a later one`);
  }
  database.exec('BEGIN IMMEDIATE');
  try {
    // Another process may have done it meanwhile.
    for (const step of migrations.slice(version())) database.exec(step);
    database.exec(`PRAGMA user_version=${migrations.length}; COMMIT`);
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function damagedOr(error: unknown, path: string): unknown {
  const { errcode } = error as { errcode?: number };
  if (errcode === undefined || !damagedCodes.has(errcode & 0xff)) return error;
  return new Error(
    `${path} is damaged; move it away and enrol again with a new token (applications go on running meanwhile)`,
    { cause: error },
  );
}
