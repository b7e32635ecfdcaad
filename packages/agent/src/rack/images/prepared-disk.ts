import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { ChunkMap } from './chunk-map.ts';
import type { ImageChunk, PreparedImage } from './image-library.ts';

export interface PreparedDiskOptions {
  /** Of the image's layer. */
  readonly digest: string;
  /** The raw disk. */
  readonly path: string;
  readonly map: ChunkMap;
  /** Told when a chunk is not what the map says, or cannot be read. */
  readonly onDamaged: (error: Error) => void;
}

const pieceBytes = 64 * 1024;
const zeros = Buffer.alloc(pieceBytes);
/** The disk is as good as ever: this process could not ask it. */
const ownTroubles: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EACCES', 'EPERM']);

/** A disk in a file of this machine, and the map of its chunks. */
export class PreparedDisk implements PreparedImage {
  readonly #o: PreparedDiskOptions;

  constructor(options: PreparedDiskOptions) {
    this.#o = options;
  }

  get digest(): string {
    return this.#o.digest;
  }

  get diskBytes(): number {
    return this.#o.map.diskBytes;
  }

  get chunkCount(): number {
    return this.#o.map.count;
  }

  chunk(index: number): ImageChunk {
    return this.#o.map.chunk(index);
  }

  async *read(index: number, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    const chunk = this.chunk(index);
    if (chunk.sha256 === 'zero') {
      for (let left = chunk.length; left > 0; left -= pieceBytes) yield zeros.subarray(0, left);
      return;
    }
    try {
      yield* this.#verified(chunk, signal);
    } catch (cause) {
      signal?.throwIfAborted();
      const error = new Error(
        `chunk ${index} of ${this.digest} cannot be read: ${(cause as Error).message}`,
        {
          cause,
        },
      );
      if (!ownTroubles.has(String((cause as NodeJS.ErrnoException).code))) this.#o.onDamaged(error);
      throw error;
    }
  }

  /** One piece behind: the last one is given when all are known to be right. */
  async *#verified(chunk: ImageChunk, signal: AbortSignal | undefined): AsyncIterable<Uint8Array> {
    const hash = createHash('sha256');
    // Each reader has its own handle: a file that is removed meanwhile can be read to its end.
    const file = await open(this.#o.path, 'r');
    try {
      const buffers = [takeBuffer(), takeBuffer()] as const;
      let held: Buffer | undefined;
      for (let at = 0, turn = 0; at < chunk.length; turn += 1) {
        signal?.throwIfAborted();
        const buffer = turn % 2 === 0 ? buffers[0] : buffers[1];
        const length = Math.min(pieceBytes, chunk.length - at);
        const { bytesRead } = await file.read(buffer, 0, length, chunk.offset + at);
        if (bytesRead === 0) throw new Error('the file is too short');
        const read = buffer.subarray(0, bytesRead);
        hash.update(read);
        at += bytesRead;
        if (held !== undefined) yield held;
        held = read;
      }
      if (hash.digest('hex') !== chunk.sha256) throw new Error('it is not what was written there');
      if (held !== undefined) yield held;
      // Not those of a reader that broke off: they may still be on their way out.
      giveBack(buffers);
    } finally {
      await file.close();
    }
  }
}

/** Buffers that nobody uses now: new ones for each chunk would be garbage by the hundred megabytes before V8 looks. */
const spareBuffers: Buffer[] = [];
const mostSpareBuffers = 32;

function takeBuffer(): Buffer {
  return spareBuffers.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
}

function giveBack(buffers: readonly Buffer[]): void {
  for (const buffer of buffers) if (spareBuffers.length < mostSpareBuffers) spareBuffers.push(buffer);
}
