import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  utimes,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Clock } from '@selvedge/api';
import { syncDirectory } from '@selvedge/api/node';
import { DistributionError } from '../distribution-error.ts';
import type { BlobStorage, BytesRange, StoredBytes, WrittenBytes } from './blob-storage.ts';
import { checkKey } from './storage-key.ts';

export interface FileStorageOptions {
  readonly directory: string;
  /** Bytes that stay free on its disk: the hub's database may be there too. Default: 512 MiB. */
  readonly reserveBytes?: number;
  readonly clock: Clock;
}

const defaultReserveBytes = 512 * 1024 * 1024;
const spaceCheckedEveryBytes = 32 * 1024 * 1024;
/** Keys never start with a dot. */
const unfinished = '.unfinished';

/** Files in a folder: on one machine, or on a file system that all hubs share and that can rename atomically. */
export class FileStorage implements BlobStorage {
  readonly name: string;
  readonly #directory: string;
  readonly #reserveBytes: number;
  readonly #clock: Clock;

  constructor({ directory, reserveBytes = defaultReserveBytes, clock }: FileStorageOptions) {
    this.name = `the folder ${directory}`;
    this.#directory = directory;
    this.#reserveBytes = reserveBytes;
    this.#clock = clock;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.write(key, chunksOf(bytes));
  }

  async write(key: string, body: AsyncIterable<Uint8Array>): Promise<WrittenBytes> {
    const path = this.#pathOf(key);
    const temporary = join(this.#directory, unfinished, randomUUID());
    const hash = createHash('sha256');
    let sizeBytes = 0;
    let isThere = false;
    try {
      await mkdir(dirname(temporary), { recursive: true, mode: 0o700 });
      await this.#checkSpace();
      const file = await open(temporary, 'wx', 0o600);
      isThere = true;
      let unchecked = 0;
      try {
        for await (const chunk of body) {
          unchecked += chunk.length;
          if (unchecked >= spaceCheckedEveryBytes) {
            await this.#checkSpace();
            unchecked = 0;
          }
          await writeAll(file, chunk);
          hash.update(chunk);
          sizeBytes += chunk.length;
        }
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#place(temporary, path);
      isThere = false;
    } catch (error) {
      throw faultOf(error);
    } finally {
      if (isThere) await rm(temporary, { force: true });
    }
    return { sizeBytes, digest: `sha256:${hash.digest('hex')}` };
  }

  async find(key: string): Promise<StoredBytes | undefined> {
    const found = await orUndefined(stat(this.#pathOf(key)));
    if (found === undefined || !found.isFile()) return undefined;
    return { key, sizeBytes: found.size, modifiedAt: found.mtime };
  }

  async read(key: string): Promise<Buffer | undefined> {
    return orUndefined(readFile(this.#pathOf(key)));
  }

  async open(key: string, range?: BytesRange): Promise<Readable | undefined> {
    const file = await orUndefined(open(this.#pathOf(key), 'r'));
    if (file === undefined) return undefined;
    const { offset = 0, length } = range ?? {};
    // `end` counts the last byte itself, so it cannot say "none".
    if (length === 0) {
      await file.close();
      return createReadStream('/dev/null');
    }
    return file.createReadStream({
      start: offset,
      ...(length === undefined ? {} : { end: offset + length - 1 }),
      highWaterMark: 256 * 1024,
    });
  }

  async move(from: string, to: string): Promise<void> {
    const now = this.#clock.now();
    const path = this.#pathOf(from);
    try {
      await utimes(path, now, now);
      await this.#place(path, this.#pathOf(to));
      await this.#removeEmpty(dirname(path));
    } catch (error) {
      throw faultOf(error);
    }
  }

  async delete(key: string): Promise<void> {
    const path = this.#pathOf(key);
    try {
      await rm(path, { force: true });
      await this.#removeEmpty(dirname(path));
    } catch (error) {
      throw faultOf(error);
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredBytes> {
    if (prefix !== '') checkKey(prefix.replace(/\/$/, ''));
    const entries = await orUndefined(readdir(join(this.#directory, prefix), { withFileTypes: true }));
    for (const entry of entries ?? []) {
      if (entry.name.startsWith('.')) continue;
      const key = `${prefix}${entry.name}`;
      if (entry.isDirectory()) {
        yield* this.list(`${key}/`);
      } else {
        const found = await this.find(key);
        if (found !== undefined) yield found;
      }
    }
  }

  async removeUnfinished(before: Date): Promise<void> {
    const folder = join(this.#directory, unfinished);
    for (const name of (await orUndefined(readdir(folder))) ?? []) {
      const path = join(folder, name);
      const found = await orUndefined(stat(path));
      if (found !== undefined && found.mtime < before) await rm(path, { force: true });
    }
  }

  #pathOf(key: string): string {
    checkKey(key);
    return join(this.#directory, key);
  }

  async #place(from: string, to: string): Promise<void> {
    // Whoever removes an empty folder may be faster than the rename.
    for (let tries = 1; ; tries += 1) {
      await mkdir(dirname(to), { recursive: true, mode: 0o700 });
      try {
        await rename(from, to);
        break;
      } catch (error) {
        if (!isMissing(error) || tries === 3 || (await orUndefined(stat(from))) === undefined) throw error;
      }
    }
    await syncDirectory(dirname(to));
  }

  async #removeEmpty(folder: string): Promise<void> {
    for (let current = folder; current.length > this.#directory.length; current = dirname(current)) {
      try {
        await rmdir(current);
      } catch {
        // Not empty, or gone already: so are those above it, or not.
        return;
      }
    }
  }

  async #checkSpace(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#directory);
    if (bavail * bsize > this.#reserveBytes) return;
    throw new DistributionError(
      'STORAGE_FULL',
      `less than ${Math.round(this.#reserveBytes / 1024 / 1024)} MiB are free on the disk of the hub's registry: delete images, or give it more room`,
    );
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let offset = 0; offset < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, offset);
    offset += bytesWritten;
  }
}

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield await Promise.resolve(bytes);
}

async function orUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (isMissing(error) || codeOf(error) === 'ENOTDIR') return undefined;
    throw faultOf(error);
  }
}

function faultOf(error: unknown): unknown {
  const code = codeOf(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DistributionError('STORAGE_FULL', "the disk of the hub's registry is full", { cause: error });
  }
  // Faults of the system have a call; what a stream threw has none.
  if (code === undefined || !(error instanceof Error && 'syscall' in error) || code === 'ECONNRESET')
    return error;
  return new DistributionError('UNAVAILABLE', "the hub's registry cannot reach its files: see the log", {
    cause: error,
  });
}

const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';

function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : undefined;
}
