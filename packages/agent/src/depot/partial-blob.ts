import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { type BlobDescriptor, type BlobFiles, partialName } from './blob-files.ts';

const readBytes = 256 * 1024;

/** A blob that is arriving: its file, and the digest of what is in it so far. */
export class PartialBlob {
  readonly blob: BlobDescriptor;
  readonly #files: BlobFiles;
  readonly #name: string;
  readonly #file: FileHandle;
  #hash: Hash;
  #length = 0;
  #isPieced = false;

  private constructor(blob: BlobDescriptor, name: string, opened: { files: BlobFiles; file: FileHandle }) {
    this.blob = blob;
    this.#name = name;
    this.#files = opened.files;
    this.#file = opened.file;
    this.#hash = createHash('sha256');
  }

  /** With what arrived before from that registry, also before a crash. */
  static async open(blob: BlobDescriptor, registry: string, files: BlobFiles): Promise<PartialBlob> {
    const name = partialName(blob.digest, registry);
    const part = new PartialBlob(blob, name, { files, file: await files.openPartial(name) });
    try {
      await part.#readBack();
      return part;
    } catch (error) {
      await part.close();
      throw error;
    }
  }

  get length(): number {
    return this.#length;
  }

  get isWhole(): boolean {
    return this.#length === this.blob.sizeBytes;
  }

  /** It was not received in one go: when it is wrong, that may be nobody's lie. */
  get isPieced(): boolean {
    return this.#isPieced;
  }

  /** More arrives, from another answer than what is here. */
  notePiece(): void {
    if (this.#length > 0) this.#isPieced = true;
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const { bytesWritten } = await this.#file.write(chunk, at, chunk.length - at, this.#length + at);
      at += bytesWritten;
    }
    this.#hash.update(chunk);
    this.#length += chunk.length;
  }

  async restart(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash('sha256');
    this.#length = 0;
    this.#isPieced = false;
  }

  /** False when it is something else than its digest says; it is left as it is then. */
  async complete(): Promise<boolean> {
    if (`sha256:${this.#hash.copy().digest('hex')}` !== this.blob.digest) return false;
    await this.#file.sync();
    await this.#files.complete(this.blob.digest, this.#name);
    return true;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #readBack(): Promise<void> {
    const { size } = await this.#file.stat();
    if (size > this.blob.sizeBytes) {
      await this.restart();
      return;
    }
    const buffer = Buffer.allocUnsafe(readBytes);
    while (this.#length < size) {
      const { bytesRead } = await this.#file.read(buffer, 0, readBytes, this.#length);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#length += bytesRead;
    }
    this.#isPieced = this.#length > 0;
  }
}
