import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { DataDirectoryError } from './private-file.ts';

/**
 * Keeps every other hub away from a data directory until `release`. The lock is the operating system's (held through
 * SQLite), so it ends with the process, however that ends, and never goes stale.
 */
export function lockDataDirectory(dataDirectory: string): { release(): void } {
  const path = join(dataDirectory, 'lock');
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    chmodSync(path, 0o600);
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode !== sqliteBusy) throw error;
    throw new DataDirectoryError(
      `${dataDirectory} is in use by another hub: stop that one, or give this one its own directory with --data`,
      { cause: error },
    );
  }
  return { release: () => database.close() };
}

const sqliteBusy = 5;
