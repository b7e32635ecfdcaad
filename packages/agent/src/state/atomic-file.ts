import { chmod, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncDirectory } from '@selvedge/api/node';

/** The file's bytes, undefined when there is none. */
export async function findFile(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Makes the folder, durably, with mode 0700; one that is there gets this mode. Throws when it belongs to another user, who could
 * read and change what is put there.
 */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(path);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new Error(
      `${path} belongs to another user (id ${uid}); run the agent as that user, or give the directory to the user of the agent`,
    );
  }
  if ((mode & 0o777) !== 0o700) await chmod(path, 0o700);
  await syncDirectory(dirname(path));
}

/** Removes what `writeFileAtomically` left when it was killed. Only for folders that one process writes. */
export async function removeLeftovers(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (/\.[0-9a-f]{12}\.tmp$/.test(name)) await rm(join(directory, basename(name)), { force: true });
  }
}
