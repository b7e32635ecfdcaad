import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { imageChunkBytes, mostImageDiskBytes } from '@selvedge/api';
import { ChunkMap } from './chunk-map.ts';
import { ImageFault } from './image-fault.ts';
import { pieceGarbage } from './piece-garbage.ts';

export interface DiskWriterOptions {
  readonly path: string;
  /** Called with the bytes that the disk will have at least, before they are kept. Throws when they are too many, or do not fit. */
  readonly checkRoom: (diskBytes: number) => Promise<void>;
}

const sectorBytes = 512;
const zeros = Buffer.alloc(imageChunkBytes);

/** Writes a disk image from beginning to end as a sparse file, and makes the map of its chunks. Chunks of zeros take no room. */
export class DiskWriter {
  readonly #o: DiskWriterOptions;
  readonly #file: FileHandle;
  readonly #chunk = Buffer.allocUnsafeSlow(imageChunkBytes);
  #filled = 0;
  #hashes = Buffer.alloc(32 * 256);
  #chunks = 0;
  #bytes = 0;

  private constructor(options: DiskWriterOptions, file: FileHandle) {
    this.#o = options;
    this.#file = file;
  }

  /** Replaces a file that is there. */
  static async open(options: DiskWriterOptions): Promise<DiskWriter> {
    return new DiskWriter(options, await open(options.path, 'w', 0o600));
  }

  /** The next bytes of the disk. */
  async write(bytes: Uint8Array): Promise<void> {
    pieceGarbage.add(bytes.length);
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + imageChunkBytes - this.#filled);
      this.#chunk.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === imageChunkBytes) await this.#endChunk();
    }
  }

  /** The next chunk, which has `length` bytes; only where the last one ended. `read` fills it, or says by false that it is zeros. */
  async writeChunk(length: number, read: (target: Buffer) => Promise<boolean>): Promise<void> {
    const hasData = await read(this.#chunk.subarray(0, length));
    this.#filled = length;
    await this.#endChunk(hasData);
  }

  /** The disk is whole: durable when it resolves. Its size is rounded up to whole sectors. */
  async finish(): Promise<ChunkMap> {
    const rest = this.#filled % sectorBytes;
    if (rest > 0) await this.write(zeros.subarray(0, sectorBytes - rest));
    if (this.#filled > 0) await this.#endChunk();
    const diskBytes = this.#bytes;
    await this.#file.truncate(diskBytes);
    await this.#file.sync();
    return ChunkMap.of(diskBytes, Buffer.from(this.#hashes.subarray(0, this.#chunks * 32)));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #endChunk(hasData = true): Promise<void> {
    const bytes = this.#chunk.subarray(0, this.#filled);
    const offset = this.#chunks * imageChunkBytes;
    if (this.#chunks * 32 === this.#hashes.length) {
      this.#hashes = Buffer.concat([this.#hashes, Buffer.alloc(this.#hashes.length)]);
    }
    if (offset + bytes.length > mostImageDiskBytes) {
      throw new ImageFault('ImageMismatch', 'the disk in the image is larger than 2 TiB, which is not taken');
    }
    await this.#o.checkRoom(offset + bytes.length);
    if (hasData && !bytes.equals(zeros.subarray(0, bytes.length))) {
      createHash('sha256')
        .update(bytes)
        .digest()
        .copy(this.#hashes, this.#chunks * 32);
      await writeFully(this.#file, bytes, offset);
    }
    this.#chunks += 1;
    this.#bytes += bytes.length;
    this.#filled = 0;
  }
}

async function writeFully(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
    at += bytesWritten;
  }
}
