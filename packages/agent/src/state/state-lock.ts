import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * At most one agent per state directory. Node has no flock, SQLite has: an exclusive transaction on an empty database
 * holds a kernel lock until `release` or until the process ends, however it ends. Its journal is kept in memory, so that it works
 * on a full disk.
 */
export function lockStateDirectory(stateDir: string): { release(): void } {
  const path = join(stateDir, 'agent.lock');
  const database = new DatabaseSync(path);
  try {
    database.exec('PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode === sqliteBusy) {
      throw new Error(
        `another agent runs with the state directory ${stateDir}; stop it first, or use another`,
        {
          cause,
        },
      );
    }
    throw cause;
  }
  return { release: () => database.close() };
}

const sqliteBusy = 5;
