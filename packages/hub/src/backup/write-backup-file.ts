import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '@selvedge/api/node';
import { type BackupSummary, summarizeBackup } from './backup-contents.ts';
import { openBackupFile, sealBackupFile } from './backup-file.ts';
import { BackupError } from './backup-stream.ts';

/**
 * Puts a packed backup into a file that only its owner can read (mode 0600). It appears under its name only when all of it
 * was written, made durable, and read back and checked from the disk. Never overwrites.
 */
export async function writeBackupFile(options: {
  readonly path: string;
  readonly packed: AsyncIterable<Uint8Array>;
  /** Undefined: in clear. */
  readonly passphrase: string | undefined;
}): Promise<BackupSummary & { readonly bytes: number }> {
  const { path, packed, passphrase } = options;
  await requireFree(path);
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    let bytes = 0;
    try {
      await file.chmod(0o600);
      for await (const chunk of sealBackupFile(packed, passphrase)) {
        bytes += chunk.length;
        await file.writeFile(chunk);
      }
      await file.sync();
    } finally {
      await file.close();
    }
    const summary = await summarizeBackup(openBackupFile(createReadStream(temporary), passphrase));
    await requireFree(path);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
    return { ...summary, bytes };
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Reads a backup file from its beginning to its end; throws BackupError when anything is wrong with it. */
export async function verifyBackupFile(path: string, passphrase: string | undefined): Promise<BackupSummary> {
  return summarizeBackup(readBackupFile(path, passphrase));
}

/** The packed backup in a file. */
export async function* readBackupFile(
  path: string,
  passphrase: string | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* openBackupFile(createReadStream(path), passphrase);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (typeof code === 'string' && cause instanceof Error && 'syscall' in cause) {
      throw new BackupError(`the backup file cannot be read: ${message}`, { cause });
    }
    throw cause;
  }
}

async function requireFree(path: string): Promise<void> {
  try {
    await access(path);
  } catch {
    return;
  }
  throw new BackupError(`${path} is there already: a backup overwrites nothing, give it another name`);
}
