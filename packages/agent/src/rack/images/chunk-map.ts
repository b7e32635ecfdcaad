import { createHash } from 'node:crypto';
import { imageChunkBytes } from '@selvedge/api';
import type { ImageChunk } from './image-library.ts';

const magic = Buffer.from('SVGMAP1\n');
const hashBytes = 32;
const headerBytes = magic.length + 8;

/** The chunks of a disk image in 32 bytes each: SHA-256, or nothing but zeros for a chunk of zeros. */
export class ChunkMap {
  readonly diskBytes: number;
  readonly #hashes: Buffer;

  private constructor(diskBytes: number, hashes: Buffer) {
    this.diskBytes = diskBytes;
    this.#hashes = hashes;
  }

  /** @param hashes of all chunks in order, 32 bytes each. */
  static of(diskBytes: number, hashes: Buffer): ChunkMap {
    if (hashes.length !== countOf(diskBytes) * hashBytes) throw new Error('the chunks do not cover the disk');
    return new ChunkMap(diskBytes, hashes);
  }

  /** Undefined: the file is damaged. */
  static parse(bytes: Buffer): ChunkMap | undefined {
    const end = bytes.length - hashBytes;
    if (end < headerBytes || !bytes.subarray(0, magic.length).equals(magic)) return undefined;
    if (!sha256(bytes.subarray(0, end)).equals(bytes.subarray(end))) return undefined;
    const diskBytes = Number(bytes.readBigUInt64BE(magic.length));
    const hashes = bytes.subarray(headerBytes, end);
    return hashes.length === countOf(diskBytes) * hashBytes ? new ChunkMap(diskBytes, hashes) : undefined;
  }

  get count(): number {
    return this.#hashes.length / hashBytes;
  }

  /** Throws RangeError. */
  chunk(index: number): ImageChunk {
    if (!Number.isInteger(index) || index < 0 || index >= this.count) {
      throw new RangeError(`the image has chunks 0 to ${this.count - 1}, not ${index}`);
    }
    const hash = this.#hashes.subarray(index * hashBytes, (index + 1) * hashBytes);
    const offset = index * imageChunkBytes;
    return {
      offset,
      length: Math.min(imageChunkBytes, this.diskBytes - offset),
      sha256: hash.equals(zeroHash) ? 'zero' : hash.toString('hex'),
    };
  }

  /** For a file; what `parse` reads. */
  serialize(): Buffer {
    const header = Buffer.alloc(headerBytes);
    magic.copy(header);
    header.writeBigUInt64BE(BigInt(this.diskBytes), magic.length);
    const body = Buffer.concat([header, this.#hashes]);
    return Buffer.concat([body, sha256(body)]);
  }
}

const zeroHash = Buffer.alloc(hashBytes);

function countOf(diskBytes: number): number {
  return Math.ceil(diskBytes / imageChunkBytes);
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
