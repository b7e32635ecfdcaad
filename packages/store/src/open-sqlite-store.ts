import type { Clock, Logger } from '@selvedge/api';
import { AesGcmCipher } from './aes-gcm-cipher.ts';
import { createDatabaseFile, heldElsewhere, removeLeftovers, writeHolder } from './database-holder.ts';
import type { KeyRing } from './key-ring.ts';
import type { RetentionPolicy } from './retention.ts';
import { type Db, openDb } from './sqlite/db.ts';
import { returnsFreePages, startReturningFreePages } from './sqlite/free-pages.ts';
import { adoptKeys } from './sqlite/key-check.ts';
import { migrate } from './sqlite/migrate.ts';
import { lockDatabase } from './sqlite/process-lock.ts';
import { isHeldElsewhere } from './sqlite/sqlite-error.ts';
import { SqliteStore } from './sqlite/sqlite-store.ts';
import type { Store } from './store.ts';

export interface SqliteStoreOptions {
  /** File; made with its folder when missing. */
  readonly path: string;
  /** With them, blobs, site variables, log lines and the objects of `sensitiveResources` are encrypted at rest. */
  readonly keys?: KeyRing;
  /** As `ObjectKey.resource`: `secrets`, `applications.selvedge.dev`. */
  readonly sensitiveResources?: ReadonlySet<string>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What of the past is kept for watches and old lists. */
  readonly retention?: Partial<RetentionPolicy>;
  /** How often watchers without news get a `progress` event. */
  readonly progressIntervalMilliseconds?: number;
}

const lockWaitMilliseconds = 250;

/**
 * Opens the one database of a hub. Throws `ServiceUnavailable` naming the holder when another process has it open, and
 * refuses a wrong key or a newer schema.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { path, clock, logger } = options;
  const cipher = options.keys && new AesGcmCipher(options.keys);
  createDatabaseFile(path);
  const lock = lockDatabase(path);
  if (lock === undefined) throw heldElsewhere(path);
  let db: Db | undefined;
  try {
    removeLeftovers(path);
    db = openForWriting(path);
    const foundVersion = migrate(db);
    if (!returnsFreePages(db)) startReturningFreePages(db, logger);
    inTransaction(db, (open) => adoptKeys(open, cipher));
    logger.debug('store opened', { path, foundVersion });
  } catch (error) {
    db?.close();
    lock.release();
    throw error;
  }
  try {
    writeHolder(path, clock.now().toISOString());
  } catch (error) {
    logger.warn('store holder not named', { error, path });
  }
  return new SqliteStore({ ...options, db, lock, cipher });
}

function openForWriting(path: string): Db {
  const db = openDb(path, { busyMilliseconds: lockWaitMilliseconds });
  try {
    db.exec('PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF');
    // Before WAL, which fixes it: pages that become free can be given back to the file system.
    db.exec('PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL');
    // The checkpointer's work, see checkpointer.ts. The log keeps its size up to here, so that most commits need not grow it.
    db.exec('PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864');
    db.exec('PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000');
    db.exec('BEGIN IMMEDIATE; COMMIT');
    return db;
  } catch (error) {
    db.close();
    throw isHeldElsewhere(error) ? heldElsewhere(path, error) : error;
  }
}

function inTransaction(db: Db, work: (db: Db) => void): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    work(db);
    db.exec('COMMIT');
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK');
    throw error;
  }
}
