import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { StatusError } from '@selvedge/api';
import { AesGcmCipher } from './aes-gcm-cipher.ts';
import { createSnapshotFile } from './database-holder.ts';
import type { KeyRing } from './key-ring.ts';
import { type Db, openDb } from './sqlite/db.ts';
import { dumpDatabase } from './sqlite/dump-database.ts';
import { migrate, requireKnownVersion, schemaVersion } from './sqlite/migrate.ts';
import { verifyDatabase } from './sqlite/verify-database.ts';
import type { StoreRecord } from './store-record.ts';
import type { StoreVerdict } from './store.ts';

/** A store's file, to be read by a program that does not open the store: also while a hub runs on it. */
export interface SqliteFile {
  readonly path: string;
  readonly keys: KeyRing;
}

/**
 * Everything in the file at one moment, as `Store.dump`; the file is only read. A file of an older schema is brought
 * forward in the copy that is made beside it meanwhile. Blocks for some milliseconds at a time, longer while it copies.
 */
export async function* dumpSqliteFile({ path, keys }: SqliteFile): AsyncGenerator<StoreRecord> {
  const copy = `${path}.snapshot-${randomBytes(6).toString('hex')}`;
  const cipher = new AesGcmCipher(keys);
  let db: Db | undefined;
  try {
    const source = openForReading(path);
    try {
      requireKnownVersion(schemaVersion(source));
      createSnapshotFile(copy);
      source.run('VACUUM INTO ?', [copy]);
    } finally {
      source.close();
    }
    db = openDb(copy);
    migrate(db);
    yield* dumpDatabase(db, cipher);
  } finally {
    db?.close();
    for (const suffix of ['', '-journal', '-wal', '-shm']) rmSync(`${copy}${suffix}`, { force: true });
  }
}

/** As `Store.verify`; the file is only read. Blocks until it is done. */
export function verifySqliteFile({ path, keys }: SqliteFile): StoreVerdict {
  const db = openForReading(path);
  try {
    return verifyDatabase(db, new AesGcmCipher(keys));
  } finally {
    db.close();
  }
}

function openForReading(path: string): Db {
  if (!existsSync(path)) throw new StatusError('NotFound', `there is no store at ${path}`);
  return openDb(path, { readOnly: true, busyMilliseconds: 5000 });
}
