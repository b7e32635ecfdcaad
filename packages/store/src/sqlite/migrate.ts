import { StatusError } from '@selvedge/api';
import type { Db } from './db.ts';
import { migrations } from './migrations/index.ts';

/** Brings the schema to the newest version, each step in a transaction of its own. Returns the version found. */
export function migrate(db: Db): number {
  const found = schemaVersion(db);
  const newest = migrations.at(-1)?.version ?? 0;
  if (found > newest) {
    throw new StatusError(
      'InternalError',
      `the database has schema version ${found}, this program knows only up to ${newest}: start the newer version that wrote it`,
    );
  }
  for (const migration of migrations.slice(found)) {
    db.exec(`BEGIN IMMEDIATE; ${migration.sql}; PRAGMA user_version = ${migration.version}; COMMIT`);
  }
  return found;
}

function schemaVersion(db: Db): number {
  return db.get<{ user_version: number }>('PRAGMA user_version')?.user_version ?? 0;
}
