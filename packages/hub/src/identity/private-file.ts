import { chmod, mkdir, readFile, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '@selvedge/api/node';

/** A fault of the data directory that a person has to mend; the message says how. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError';
}

/** Makes a directory that only its owner can enter; an existing one must already be so. */
export async function openPrivateDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new DataDirectoryError(`cannot use ${path} as a directory: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const { mode } = await stat(path);
  if ((mode & 0o022) !== 0) {
    throw new DataDirectoryError(
      `${path} can be written by other users (mode ${octal(mode)}): run "chmod 700 ${path}"`,
    );
  }
}

/** Text of a file that only its owner may read; `undefined` when there is none. */
export async function findPrivateFile(path: string): Promise<string | undefined> {
  let mode: number;
  try {
    mode = (await stat(path)).mode;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  if ((mode & 0o077) !== 0) {
    throw new DataDirectoryError(
      `${path} can be read or written by other users (mode ${octal(mode)}): run "chmod 600 ${path}"; when the machine has other users, treat the key as stolen`,
    );
  }
  return readFile(path, 'utf8');
}

/** Like `findPrivateFile`, throws when there is none. */
export async function getPrivateFile(path: string): Promise<string> {
  const text = await findPrivateFile(path);
  if (text !== undefined) return text;
  throw new DataDirectoryError(
    `${path} is missing: restore it from a backup; agents trust this hub by its keys, so it is never made anew`,
  );
}

/** Renames a finished directory into place; only its owner can enter it. */
export async function publishDirectory(from: string, to: string): Promise<void> {
  await chmod(from, 0o700);
  await syncDirectory(from);
  await rename(from, to);
  await syncDirectory(dirname(to));
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}
