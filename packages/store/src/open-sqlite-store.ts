import { StatusError, type Clock, type Logger } from '@selvedge/api';
import { AesGcmCipher } from './aes-gcm-cipher.ts';
import { createDatabaseFile, heldElsewhere, removeHolder, writeHolder } from './database-holder.ts';
import type { FleetStore } from './fleet-store.ts';
import type { ObjectStore } from './object-store.ts';
import { defaultRetention, forgetPeriodically, type RetentionPolicy } from './retention.ts';
import { openDb, type Db } from './sqlite/db.ts';
import { GroupCommit } from './sqlite/group-commit.ts';
import { migrate } from './sqlite/migrate.ts';
import { readSetting, writeSetting } from './sqlite/settings.ts';
import { isHeldElsewhere } from './sqlite/sqlite-error.ts';
import { SqliteFleetStore } from './sqlite/sqlite-fleet-store.ts';
import { SqliteObjectStore } from './sqlite/sqlite-object-store.ts';

export interface SqliteStoreOptions {
  /** File; made with its folder when missing. */
  readonly path: string;
  /** 32 bytes. With it, blobs and the objects of `sensitiveResources` are encrypted at rest. */
  readonly key?: Uint8Array;
  /** As `ObjectKey.resource`: `secrets`, `applications.selvedge.dev`. */
  readonly sensitiveResources?: ReadonlySet<string>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What of the past is kept for watches and old lists. */
  readonly retention?: Partial<RetentionPolicy>;
  /** How often watchers without news get a `progress` event. */
  readonly progressIntervalMilliseconds?: number;
}

export interface SqliteStore {
  readonly objects: ObjectStore;
  readonly fleet: FleetStore;
  /** Writes what was asked for before, ends the watches and lets go of the file. Again: the same promise. */
  readonly close: () => Promise<void>;
}

const lockWaitMilliseconds = 250;
const defaultProgressIntervalMilliseconds = 5000;

/**
 * Opens the one database of a hub. Throws `ServiceUnavailable` naming the holder when another process has it open, and
 * refuses a wrong key or a newer schema.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<SqliteStore> {
  const { path, clock, logger } = options;
  const cipher = options.key && new AesGcmCipher(options.key);
  const db = openExclusively(path);
  try {
    const foundVersion = migrate(db);
    checkKey(db, cipher);
    logger.debug('store opened', { path, foundVersion });
  } catch (error) {
    db.close();
    throw error;
  }
  try {
    writeHolder(path, clock.now().toISOString());
  } catch (error) {
    logger.warn('store holder not named', { error, path });
  }

  const commits = new GroupCommit(db, logger);
  const closing = new AbortController();
  let closed: Promise<void> | undefined;
  const close = () => (closed ??= closeAll());
  const sealing = cipher && { cipher, sensitiveResources: options.sensitiveResources ?? new Set<string>() };
  const objects = new SqliteObjectStore({
    db,
    commits,
    close,
    ...(sealing === undefined ? {} : { sealing }),
  });
  const fleet = new SqliteFleetStore({ db, commits, clock, logger, ...(cipher ? { cipher } : {}) });
  const loops = [
    forgetPeriodically({
      policy: { ...defaultRetention, ...options.retention },
      clock,
      logger,
      signal: closing.signal,
      currentRevision: () => commits.revision,
      forget: async (revision) => {
        await objects.compact(revision);
        await fleet.purgeDeleted(revision);
      },
    }),
    publishProgress(),
  ];
  return { objects, fleet, close };

  async function publishProgress(): Promise<void> {
    const interval = options.progressIntervalMilliseconds ?? defaultProgressIntervalMilliseconds;
    while (!closing.signal.aborted) {
      await clock.sleep(interval, closing.signal);
      objects.publishProgress();
    }
  }

  async function closeAll(): Promise<void> {
    closing.abort();
    await fleet.closeHeartbeats();
    await commits.close();
    await Promise.all(loops);
    objects.endWatches();
    removeHolder(path);
    db.close();
  }
}

function openExclusively(path: string): Db {
  createDatabaseFile(path);
  const db = openDb(path, lockWaitMilliseconds);
  try {
    // Exclusive before WAL: the index of the log is then in this process's memory and no other process can come in.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    db.exec('PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY');
    db.exec('PRAGMA wal_autocheckpoint = 10000; PRAGMA cache_size = -16000');
    db.exec('BEGIN IMMEDIATE; COMMIT');
    return db;
  } catch (error) {
    db.close();
    throw isHeldElsewhere(error) ? heldElsewhere(path, error) : error;
  }
}

/** A store that was once opened with a key opens only with that key: better no start than unreadable rows later. */
function checkKey(db: Db, cipher: AesGcmCipher | undefined): void {
  const check = readSetting<Uint8Array>(db, 'key_check');
  if (check === undefined) {
    if (cipher !== undefined) writeSetting(db, 'key_check', cipher.seal('selvedge', 'key check'));
  } else if (cipher === undefined) {
    throw new StatusError('BadRequest', 'this store is encrypted: open it with its key');
  } else {
    cipher.open(check, 'key check');
  }
}
