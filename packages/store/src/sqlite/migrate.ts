import { StatusError } from '@selvedge/api';
import type { Db } from './db.ts';
import { migrations } from './migrations/index.ts';

/** Brings the schema to the newest version, each step in a transaction of its own. Returns the version found. */
export function migrate(db: Db): number {
  const found = schemaVersion(db);
  requireKnownVersion(found);
  // Takes effect in an empty file only; `returnFreePages` depends on it.
  if (found === 0) db.exec('PRAGMA auto_vacuum = INCREMENTAL');
  for (const migration of migrations.slice(found)) {
    db.exec('BEGIN IMMEDIATE');
    try {
      db.exec(`${migration.sql}; PRAGMA user_version = ${migration.version}`);
      db.exec('COMMIT');
    } catch (error) {
      if (db.inTransaction) db.exec('ROLLBACK');
      throw error;
    }
  }
  return found;
}

/** 0 for an empty database. */
export function schemaVersion(db: Db): number {
  return db.get<{ user_version: number }>('PRAGMA user_version')?.user_version ?? 0;
}

/** Throws when a newer version of the program wrote the database. */
export function requireKnownVersion(found: number): void {
  if (found <= newestVersion) return;
  throw new StatusError(
    'InternalError',
    `the database has schema version ${found}, this program knows only up to ${newestVersion}: start the newer version that wrote it`,
  );
}

export const newestVersion = migrations.length;
