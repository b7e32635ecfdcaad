import { StatusError } from '@selvedge/api';
import { advisoryLocks } from './advisory-locks.ts';
import type { Connection } from './connection.ts';
import { type Migration, migrations } from './migrations/index.ts';

const oldestServer = 140_000;

/** Throws ServiceUnavailable for a server that lacks what the store needs. */
export async function checkServer(connection: Connection): Promise<void> {
  const [row] = await connection.query<{ number: number; version: string; encoding: string }>(
    `SELECT current_setting('server_version_num')::int AS number, current_setting('server_version') AS version,
       current_setting('server_encoding') AS encoding`,
  );
  const { number = 0, version, encoding } = row ?? {};
  if (number < oldestServer) {
    throw new StatusError(
      'ServiceUnavailable',
      `the server is PostgreSQL ${version}: version 14 or later is needed`,
    );
  }
  if (encoding !== 'UTF8') {
    throw new StatusError(
      'ServiceUnavailable',
      `the database has encoding ${encoding}: make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`,
    );
  }
}

/**
 * Brings the schema to the newest version, each step in a transaction of its own, one hub at a time. Returns the version
 * found. Throws for a schema that is newer than this program.
 */
export async function migrate(
  connection: Connection,
  steps: readonly Migration[] = migrations,
): Promise<number> {
  await connection.exec(`SELECT pg_advisory_lock(${advisoryLocks.space}, ${advisoryLocks.migration})`);
  try {
    const found = await schemaVersion(connection);
    const newest = steps.at(-1)?.version ?? 0;
    if (found > newest) {
      throw new StatusError(
        'InternalError',
        `the database has schema version ${found}, this program knows only up to ${newest}: start the newer version that wrote it`,
      );
    }
    for (const step of steps.slice(found)) {
      await connection.exec(
        `BEGIN; ${step.sql}; UPDATE schema_version SET version = ${step.version}; COMMIT`,
      );
    }
    return found;
  } finally {
    const unlock = `SELECT pg_advisory_unlock(${advisoryLocks.space}, ${advisoryLocks.migration})`;
    await connection.exec(`ROLLBACK; ${unlock}`).catch(() => connection.destroy());
  }
}

async function schemaVersion(connection: Connection): Promise<number> {
  // CREATE … IF NOT EXISTS asks for the right to create also when it exists.
  const [schema] = await connection.query("SELECT 1 FROM pg_namespace WHERE nspname = 'selvedge'");
  if (schema === undefined) await connection.exec('CREATE SCHEMA selvedge');
  const [table] = await connection.query<{ table: string | null }>(
    "SELECT to_regclass('selvedge.schema_version')::text AS table",
  );
  if ((table?.table ?? null) === null) {
    await connection.exec(
      'BEGIN; CREATE TABLE schema_version (version integer NOT NULL); INSERT INTO schema_version VALUES (0); COMMIT',
    );
  }
  const [row] = await connection.query<{ version: number }>('SELECT version FROM schema_version');
  return row?.version ?? 0;
}
