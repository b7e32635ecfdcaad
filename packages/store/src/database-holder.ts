import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { StatusError } from '@selvedge/api';

/**
 * Says who holds a database. The lock itself is another file's (sqlite/process-lock.ts), which the kernel lets go when
 * the process ends, however it ends; this one only gives it a name.
 *
 * While the database is open, nothing in this process may open and close its file by other means: POSIX drops all
 * locks of a process on a file as soon as it closes any descriptor of it.
 */
const holderPath = (databasePath: string) => `${databasePath}.holder`;

/** May fail, as on a full disk; the store does well without. */
export function writeHolder(databasePath: string, startedAt: string): void {
  const holder = { pid: process.pid, host: hostname(), startedAt };
  writeFileSync(holderPath(databasePath), `${JSON.stringify(holder)}\n`, { mode: 0o600 });
}

export function removeHolder(databasePath: string): void {
  rmSync(holderPath(databasePath), { force: true });
}

export function heldElsewhere(databasePath: string, cause?: unknown): StatusError {
  return new StatusError(
    'ServiceUnavailable',
    `the store ${databasePath} is in use by ${describeHolder(databasePath)}: stop that process first, or use another data folder`,
    { cause },
  );
}

function describeHolder(databasePath: string): string {
  try {
    const holder = JSON.parse(readFileSync(holderPath(databasePath), 'utf8')) as Record<string, unknown>;
    return `process ${String(holder['pid'])} on ${String(holder['host'])} since ${String(holder['startedAt'])}`;
  } catch {
    return 'another process'; // it holds the lock but has not written its name yet
  }
}

/** Creates folder and file readable by their owner only. Never touches a file that is there (see above). */
export function createDatabaseFile(databasePath: string): void {
  try {
    mkdirSync(dirname(databasePath), { recursive: true, mode: 0o700 });
    closeSync(openSync(databasePath, 'wx', 0o600));
  } catch (error) {
    const { code, message, syscall } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && syscall === 'open') return;
    throw new StatusError('ServiceUnavailable', `the store cannot be made: ${message}`, { cause: error });
  }
}

/** An empty file for a copy of the database, readable by its owner only. */
export function createSnapshotFile(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    const { message } = error as Error;
    throw new StatusError('ServiceUnavailable', `no copy of the store can be made: ${message}`, {
      cause: error,
    });
  }
}

/** What a hub that was killed during a backup left behind. Call with the lock held. */
export function removeLeftovers(databasePath: string): void {
  const folder = dirname(databasePath);
  for (const name of readdirSync(folder)) {
    if (name.startsWith(`${basename(databasePath)}.snapshot-`)) rmSync(join(folder, name), { force: true });
  }
}
