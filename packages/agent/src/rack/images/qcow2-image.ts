import type { FileHandle } from 'node:fs/promises';
import { constants, createInflateRaw, createZstdDecompress } from 'node:zlib';
import { type Qcow2Header, qcow2HeaderBytes, readQcow2Header } from '@selvedge/api';
import { ImageFault } from './image-fault.ts';
import { readFully } from './read-fully.ts';

/**
 * Reads the disk that a qcow2 file is: versions 2 and 3, compressed clusters (deflate, zstd), the newest state. Neither backing files nor encryption. Holds one table and one
 * cluster, however large the disk is. https://www.qemu.org/docs/master/interop/qcow2.html
 */
export class Qcow2Image {
  readonly #file: FileHandle;
  readonly #header: Qcow2Header;
  readonly #fileBytes: number;
  /** Entries of the first table, a page at a time. */
  readonly #l1 = new TablePage();
  /** The second table that was read last. */
  readonly #l2 = new TablePage();

  private constructor(file: FileHandle, header: Qcow2Header, fileBytes: number) {
    this.#file = file;
    this.#header = header;
    this.#fileBytes = fileBytes;
  }

  /** Throws ImageFault for what is no such file. The file stays the caller's. */
  static async open(file: FileHandle): Promise<Qcow2Image> {
    const head = Buffer.alloc(qcow2HeaderBytes);
    const length = await readFully(file, head, 0);
    const header = getQcow2Header(head.subarray(0, length));
    const { size } = await file.stat();
    return new Qcow2Image(file, header, size);
  }

  get diskBytes(): number {
    return this.#header.diskBytes;
  }

  /** Fills the target from there on; beyond the end of the disk are zeros. @returns false: all of it is zeros that the file does not hold, and the target was left as it was. */
  async read(target: Buffer, position: number): Promise<boolean> {
    if (await this.#isUnmapped(position, target.length)) return false;
    const clusterBytes = 2 ** this.#header.clusterBits;
    let hasData = false;
    for (let at = 0; at < target.length; ) {
      const inCluster = (position + at) % clusterBytes;
      const length = Math.min(clusterBytes - inCluster, target.length - at);
      const part = target.subarray(at, at + length);
      const isData = await this.#readInCluster(part, position + at - inCluster, inCluster);
      if (isData && !hasData) {
        target.fill(0, 0, at);
        hasData = true;
      } else if (!isData && hasData) part.fill(0);
      at += length;
    }
    return hasData;
  }

  /** Whether the stretch has no table at all: disks are mostly empty. */
  async #isUnmapped(position: number, length: number): Promise<boolean> {
    const bytesPerTable = 2 ** (2 * this.#header.clusterBits - 3);
    const first = Math.floor(position / bytesPerTable);
    const last = Math.min(Math.floor((position + length - 1) / bytesPerTable), this.#header.l1Entries - 1);
    for (let index = first; index <= last; index++) if ((await this.#l2OffsetOf(index)) !== 0) return false;
    return true;
  }

  async #readInCluster(part: Buffer, clusterStart: number, inCluster: number): Promise<boolean> {
    if (clusterStart >= this.diskBytes) return false;
    const entry = await this.#entryOf(clusterStart);
    if ((entry & compressedBit) !== 0n) {
      const cluster = await this.#decompress(entry);
      cluster.copy(part, 0, inCluster, inCluster + part.length);
    } else {
      const offset = Number(entry & offsetMask);
      if ((entry & zeroBit) !== 0n || offset === 0) return false;
      this.#checkInside(offset);
      // The last cluster may end with the file.
      const length = await readFully(this.#file, part, offset + inCluster);
      part.fill(0, length);
    }
    const beyond = this.diskBytes - clusterStart - inCluster;
    if (beyond < part.length) part.fill(0, beyond);
    return true;
  }

  /** The entry of the second table for a cluster; 0: there is nothing. */
  async #entryOf(clusterStart: number): Promise<bigint> {
    const { clusterBits } = this.#header;
    const cluster = clusterStart / 2 ** clusterBits;
    const entriesPerTable = 2 ** (clusterBits - 3);
    const l1Index = Math.floor(cluster / entriesPerTable);
    const l2Offset = await this.#l2OffsetOf(l1Index);
    if (l2Offset === 0) return 0n;
    this.#checkInside(l2Offset);
    const l2 = await this.#l2.load(this.#file, l2Offset, entriesPerTable * 8);
    return entryAt(l2, cluster % entriesPerTable);
  }

  async #l2OffsetOf(l1Index: number): Promise<number> {
    const { l1Offset, l1Entries } = this.#header;
    const page = Math.floor(l1Index / l1PageEntries) * l1PageEntries;
    const length = Math.min(l1PageEntries, l1Entries) * 8;
    const l1 = await this.#l1.load(this.#file, l1Offset + page * 8, length);
    return Number(entryAt(l1, l1Index % l1PageEntries) & offsetMask);
  }

  async #decompress(entry: bigint): Promise<Buffer> {
    const { clusterBits, compression } = this.#header;
    const offsetBits = BigInt(62 - (clusterBits - 8));
    const offset = Number(entry & ((1n << offsetBits) - 1n));
    const moreSectors = Number((entry & ~(compressedBit | copiedBit)) >> offsetBits);
    this.#checkInside(offset);
    const source = Buffer.allocUnsafe((moreSectors + 1) * sectorBytes - (offset % sectorBytes));
    const length = await readFully(this.#file, source, offset);
    return await unpackCluster(source.subarray(0, length), compression, 2 ** clusterBits);
  }

  #checkInside(offset: number): void {
    if (offset < this.#fileBytes) return;
    throw damaged('it names a place beyond its end');
  }
}

/** Throws ImageFault for what cannot be used. */
export function getQcow2Header(head: Uint8Array): Qcow2Header {
  const read = readQcow2Header(head);
  if ('why' in read) throw new ImageFault('ImageMismatch', `the qcow2 image cannot be used: ${read.why}`);
  return read.header;
}

const sectorBytes = 512;
/** Of a zstd frame: clusters have at most 2 MiB. What asks for more wants the rack's memory. */
const clusterWindowLogMax = 23;
const l1PageEntries = 8192;
const offsetMask = 0x00ff_ffff_ffff_fe00n;
const compressedBit = 1n << 62n;
const copiedBit = 1n << 63n;
const zeroBit = 1n;

/** Part of a table of the file, kept until another one is wanted. */
class TablePage {
  #bytes = Buffer.alloc(0);
  #offset = -1;

  async load(file: FileHandle, offset: number, length: number): Promise<Buffer> {
    if (this.#offset === offset) return this.#bytes;
    this.#offset = -1;
    if (this.#bytes.length !== length) this.#bytes = Buffer.alloc(length);
    this.#bytes.fill(0, await readFully(file, this.#bytes, offset));
    this.#offset = offset;
    return this.#bytes;
  }
}

function entryAt(table: Buffer, index: number): bigint {
  return table.readBigUInt64BE(index * 8);
}

/** The stream ends before its sectors do: what stands behind it belongs to others. */
async function unpackCluster(
  source: Buffer,
  compression: Qcow2Header['compression'],
  clusterBytes: number,
): Promise<Buffer> {
  const cluster = Buffer.allocUnsafe(clusterBytes);
  const unpacker =
    compression === 'zstd'
      ? createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: clusterWindowLogMax } })
      : createInflateRaw();
  let length = 0;
  unpacker.end(source);
  try {
    for await (const piece of unpacker as AsyncIterable<Buffer>) {
      length += piece.copy(cluster, length);
      if (length === clusterBytes) return cluster;
    }
  } catch (cause) {
    throw damaged('a compressed cluster cannot be read', cause);
  } finally {
    unpacker.destroy();
  }
  throw damaged('a compressed cluster is too short');
}

function damaged(why: string, cause?: unknown): ImageFault {
  return new ImageFault('ImageMismatch', `the qcow2 image is damaged: ${why}; see qemu-img check`, { cause });
}
