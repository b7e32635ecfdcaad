import { chmodSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

const sqliteBusy = 5;

/**
 * Keeps every other hub away from a database until `release`: an exclusive lock on the file `<database>.lock`, held
 * through SQLite. The operating system lets go of it when the process ends, however it ends, so it never goes stale; and
 * a second store of the same process is kept away too. The database itself stays open to readers, such as this
 * process's own worker and `selvedge hub verify`. Returns undefined when somebody else holds it.
 */
export function lockDatabase(databasePath: string): { release(): void } | undefined {
  const path = `${databasePath}.lock`;
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    chmodSync(path, 0o600);
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return { release: () => lock.close() };
  } catch (error) {
    lock.close();
    if (((error as { errcode?: number }).errcode ?? 0) === sqliteBusy) return undefined;
    throw error;
  }
}
