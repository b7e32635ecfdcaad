import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { writeFileAtomically } from '@selvedge/api/node';
import type { AgentDatabase, Row } from '../agent-database.ts';

/**
 * All of a state directory but the content blobs, which are kept by digest beside it. The database as rows, not as a file: consistent
 * while the agent runs, and small. `version` is of this form, `schemaVersion` of the database.
 */
export interface StateSnapshot {
  readonly version: 1;
  readonly schemaVersion: number;
  readonly tables: readonly Table[];
  /** By path in the directory; base64. */
  readonly files: Readonly<Record<string, string>>;
}

interface Table {
  readonly name: string;
  /** Statement that makes it. */
  readonly sql: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}

/** Of this machine or of this moment, or kept otherwise. */
const leftOut =
  /^(agent\.db.*|agent\.lock.*|reserve|contact\.json|kept\.json|lease-identity|.*\.tmp|.*\.sock|bell.*)$/;
const keptElsewhere = 'content';
/** Known again after the first word of the hub; it changes at each of its answers. */
const relearnt = new Set(['clockOffsetMs']);

/** The rows of the database as they are in this transaction; blobs of content are left out. */
export function exportTables(database: AgentDatabase): Pick<StateSnapshot, 'schemaVersion' | 'tables'> {
  const schema = database.all(
    "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
  );
  const tables = schema.map(({ name, sql }): Table => {
    const columns = database
      .all('SELECT name FROM pragma_table_info(?)', String(name))
      .map((column) => String(column['name']));
    const rows = name === keptElsewhere ? [] : database.all(`SELECT * FROM "${String(name)}"`);
    return {
      name: String(name),
      sql: String(sql),
      columns,
      rows: rows
        .filter((row) => !isRelearnt(String(name), row))
        .map((row) => columns.map((c) => plain(row[c]))),
    };
  });
  return { schemaVersion: database.version, tables };
}

function isRelearnt(table: string, row: Row): boolean {
  return table === 'meta' && relearnt.has(String(row['key']));
}

function plain(value: Row[string] | undefined): string | number | null {
  if (typeof value === 'string' || typeof value === 'number' || value === null) return value;
  throw new Error('the database holds a value that cannot be kept in the cluster');
}

/** Files of the directory that are kept, by path. */
export async function readStateFiles(stateDir: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const path of await listStateFiles(stateDir)) {
    files[path] = (await readFile(join(stateDir, path))).toString('base64');
  }
  return files;
}

/** Changes when a kept file does. */
export async function stateFilesVersion(stateDir: string): Promise<string> {
  const versions: string[] = [];
  for (const path of await listStateFiles(stateDir)) {
    const { mtimeMs, size } = await stat(join(stateDir, path)).catch(() => ({ mtimeMs: 0, size: 0 }));
    versions.push(`${path}:${mtimeMs}:${size}`);
  }
  return versions.join(' ');
}

async function listStateFiles(stateDir: string): Promise<string[]> {
  const entries = await readdir(stateDir, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && !leftOut.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(stateDir.length + 1))
    .sort();
}

/** Removes everything that this agent keeps in the directory, so that a restore begins with nothing. */
export async function clearStateDirectory(stateDir: string): Promise<void> {
  for (const name of await readdir(stateDir)) {
    // The lock is held, and the identity is of this directory.
    if (name.startsWith('agent.lock') || name === 'lease-identity') continue;
    await rm(join(stateDir, name), { recursive: true, force: true });
  }
}

/** Writes files and database of a snapshot into an empty directory. Older ones are migrated when the agent opens them. */
export async function writeSnapshot(stateDir: string, snapshot: StateSnapshot): Promise<void> {
  for (const [path, base64] of Object.entries(snapshot.files)) {
    if (path.startsWith('/') || normalize(path).startsWith('..'))
      throw new Error(`a kept file has the path ${path}`);
    await mkdir(dirname(join(stateDir, path)), { recursive: true, mode: 0o700 });
    await writeFileAtomically(join(stateDir, path), Buffer.from(base64, 'base64'));
  }
  const database = new DatabaseSync(join(stateDir, 'agent.db'));
  try {
    database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; BEGIN IMMEDIATE');
    for (const table of snapshot.tables) {
      database.exec(table.sql);
      const places = table.columns.map(() => '?').join(', ');
      const insert = database.prepare(
        `INSERT INTO "${table.name}" (${table.columns.join(', ')}) VALUES (${places})`,
      );
      for (const row of table.rows) insert.run(...row);
    }
    database.exec(`PRAGMA user_version=${snapshot.schemaVersion}; COMMIT`);
  } finally {
    database.close();
  }
}
