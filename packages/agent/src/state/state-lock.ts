import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/**
 * At most one agent per state directory. Node has no flock, SQLite has: an exclusive transaction on an empty database
 * holds a kernel lock until `release` or until the process ends, however it ends. Its journal is kept in memory, so that it works
 * on a full disk.
 */
export function lockStateDirectory(stateDir: string): { release(): void } {
  return lockDirectory(
    stateDir,
    `another agent runs with the state directory ${stateDir}; stop it first, or use another`,
  );
}

/** The same for any folder that one agent alone may use; throws `refusal` when another has it. */
export function lockDirectory(directory: string, refusal: string): { release(): void } {
  const path = join(directory, 'agent.lock');
  // `isAgentRunning` may be looking for a moment.
  const database = new DatabaseSync(path, { timeout: 1000 });
  try {
    database.exec('PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if ((cause as { errcode?: number }).errcode === sqliteBusy) {
      throw new Error(refusal, { cause });
    }
    throw cause;
  }
  return { release: () => database.close() };
}

/** Whether an agent holds the directory now. */
export function isAgentRunning(stateDir: string): boolean {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(stateDir, 'agent.lock'), { readOnly: true });
    database.prepare('SELECT count(*) FROM sqlite_master').get();
    return false;
  } catch (error) {
    return (error as { errcode?: number }).errcode === sqliteBusy;
  } finally {
    database?.close();
  }
}

const sqliteBusy = 5;
