import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, type ReadStream, type Stats } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeFileAtomically } from '@selvedge/api/node';

/** What an image consists of, as manifests name it. */
export interface BlobDescriptor {
  /** `sha256:<64 hex digits>`. */
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface StoredBlob extends BlobDescriptor {
  readonly writtenMs: number;
}

/** What has arrived of a blob from one registry. */
export interface StoredPartial extends StoredBlob {
  /** Of its file. */
  readonly name: string;
}

export const digestPattern = /^sha256:[0-9a-f]{64}$/;

/**
 * Blobs as files named by their digest, laid out as in an OCI image layout: `blobs/sha256/<hex>` are whole and verified,
 * `partial/<hex>-<registry>` is what has arrived of the others from there. Other programs may add whole blobs at any time, by renaming.
 */
export class BlobFiles {
  readonly #blobs: string;
  readonly #partials: string;

  constructor(directory: string) {
    this.#blobs = join(directory, 'blobs', 'sha256');
    this.#partials = join(directory, 'partial');
  }

  async prepare(): Promise<void> {
    for (const folder of [this.#blobs, this.#partials]) await mkdir(folder, { recursive: true, mode: 0o700 });
  }

  /** Removes what programs that were killed left behind; what is younger may still be written. */
  async removeLeftovers(olderThanMs: number): Promise<void> {
    for (const name of await readdir(this.#blobs)) {
      if (!name.endsWith('.tmp')) continue;
      const path = join(this.#blobs, name);
      const facts = await stat(path).catch(() => undefined);
      if (facts !== undefined && facts.mtimeMs < olderThanMs) await rm(path, { force: true });
    }
  }

  /** Where the blob is, or would be. */
  pathOf(digest: string): string {
    return join(this.#blobs, hexOf(digest));
  }

  /** Bytes of the blob, undefined while it is not whole here. */
  async findSize(digest: string): Promise<number | undefined> {
    return await sizeOf(this.pathOf(digest));
  }

  /** When the blob was written, in milliseconds; undefined when it is not here. */
  async findTime(digest: string): Promise<number | undefined> {
    return (await findFacts(this.pathOf(digest)))?.mtimeMs;
  }

  async has({ digest, sizeBytes }: BlobDescriptor): Promise<boolean> {
    return (await this.findSize(digest)) === sizeBytes;
  }

  /** All of a blob, undefined when it is not here or longer than that. */
  async readSmall(digest: string, longestBytes: number): Promise<Buffer | undefined> {
    const size = await this.findSize(digest);
    if (size === undefined || size > longestBytes) return undefined;
    return await readFile(this.pathOf(digest)).catch(() => undefined);
  }

  /** A small blob that was verified already; nothing is written when it is here. */
  async put(digest: string, bytes: Buffer): Promise<void> {
    if (await this.has({ digest, sizeBytes: bytes.length })) return;
    await writeFileAtomically(this.pathOf(digest), bytes);
  }

  stream(digest: string, range?: { start: number; end: number }): ReadStream {
    return createReadStream(this.pathOf(digest), range);
  }

  /** What has arrived of a blob so far, to be read and written. */
  async openPartial(name: string): Promise<FileHandle> {
    const path = this.#partialPathOf(name);
    try {
      return await open(path, 'r+', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return await open(path, 'wx+', 0o600);
    }
  }

  async partialSize(name: string): Promise<number> {
    return (await sizeOf(this.#partialPathOf(name))) ?? 0;
  }

  /**
   * Writes a blob that comes in one go, verified before it counts; nothing is read from `chunks` when it is here. False: it is something else than
   * its digest says. Works beside other programs.
   */
  async write({ digest, sizeBytes }: BlobDescriptor, chunks: AsyncIterable<Uint8Array>): Promise<boolean> {
    if (await this.has({ digest, sizeBytes })) return true;
    const temporary = `${this.pathOf(digest)}.${randomBytes(6).toString('hex')}.tmp`;
    const hash = createHash('sha256');
    let length = 0;
    try {
      const file = await open(temporary, 'wx', 0o600);
      try {
        for await (const chunk of chunks) {
          length += chunk.length;
          if (length > sizeBytes) return false;
          hash.update(chunk);
          await file.writeFile(chunk);
        }
        if (`sha256:${hash.digest('hex')}` !== digest || length !== sizeBytes) return false;
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.pathOf(digest));
    } finally {
      await rm(temporary, { force: true });
    }
    await syncDirectory(this.#blobs);
    return true;
  }

  /** The partial file is the blob: whole, verified, on disk. */
  async complete(digest: string, name: string): Promise<void> {
    await rename(this.#partialPathOf(name), this.pathOf(digest));
    await syncDirectory(this.#blobs);
  }

  async removePartial(name: string): Promise<void> {
    await rm(this.#partialPathOf(name), { force: true });
  }

  async removeBlob(digest: string): Promise<void> {
    await rm(this.pathOf(digest), { force: true });
  }

  async listBlobs(): Promise<StoredBlob[]> {
    return await list(this.#blobs, blobPattern);
  }

  async listPartials(): Promise<StoredPartial[]> {
    return await list(this.#partials, partialPattern);
  }

  #partialPathOf(name: string): string {
    if (!partialPattern.test(name)) throw new Error(`${name.slice(0, 100)} is no name of a part`);
    return join(this.#partials, name);
  }
}

const blobPattern = /^[0-9a-f]{64}$/;
const partialPattern = /^[0-9a-f]{64}-[0-9a-f]{16}$/;

/** Of the file for what arrives of a blob from a registry: two that send the same do not write to one file. */
export function partialName(digest: string, registry: string): string {
  return `${hexOf(digest)}-${createHash('sha256').update(registry).digest('hex').slice(0, 16)}`;
}

/** Digests come from registries: only what is one may become the name of a file. */
function hexOf(digest: string): string {
  if (!digestPattern.test(digest)) throw new Error(`${digest.slice(0, 100)} is no sha256 digest`);
  return digest.slice('sha256:'.length);
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await findFacts(path))?.size;
}

async function findFacts(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function list(folder: string, pattern: RegExp): Promise<StoredPartial[]> {
  const found: StoredPartial[] = [];
  for (const name of await readdir(folder)) {
    if (!pattern.test(name)) continue;
    const facts = await stat(join(folder, name)).catch(() => undefined);
    if (facts === undefined) continue;
    const digest = `sha256:${name.slice(0, 64)}`;
    found.push({ name, digest, sizeBytes: facts.size, writtenMs: facts.mtimeMs });
  }
  return found;
}
