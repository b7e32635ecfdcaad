export type ImageCompression = 'gzip' | 'zstd' | 'xz';

/** How the file that begins so is compressed; undefined: not at all, as far as it is known here. */
export function compressionOf(head: Uint8Array): ImageCompression | undefined {
  return compressions.find(({ magic }) => startsWith(head, magic))?.name;
}

const compressions: readonly { readonly name: ImageCompression; readonly magic: readonly number[] }[] = [
  { name: 'gzip', magic: [0x1f, 0x8b] },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd] },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
];

/** Formats of disk images that are not written to machines, by how they begin. */
const otherFormats: readonly { readonly name: string; readonly magic: string }[] = [
  { name: 'VMDK', magic: 'KDMV' },
  { name: 'VMDK', magic: '# Disk DescriptorFile' },
  { name: 'VHDX', magic: 'vhdxfile' },
  { name: 'VHD', magic: 'conectix' },
  { name: 'VDI', magic: '<<< ' },
  { name: 'bzip2', magic: 'BZh' },
];

/** The name of a format that cannot be taken for a disk; undefined: it may be one. */
export function foreignFormatOf(head: Uint8Array): string | undefined {
  const encoder = new TextEncoder();
  return otherFormats.find(({ magic }) => startsWith(head, encoder.encode(magic)))?.name;
}

const qcow2Magic = [0x51, 0x46, 0x49, 0xfb];

export function isQcow2(head: Uint8Array): boolean {
  return startsWith(head, qcow2Magic);
}

/** Of the disk in an image: its map of chunks is in the memory of a rack while it is written (16 MiB for these 2 TiB). */
export const mostImageDiskBytes: number = 2 ** 41;

/** Bytes from the beginning of a qcow2 file that `readQcow2Header` needs, as far as the file has them. */
export const qcow2HeaderBytes = 112;

export interface Qcow2Header {
  /** Of the disk that it is. */
  readonly diskBytes: number;
  readonly clusterBits: number;
  readonly l1Entries: number;
  readonly l1Offset: number;
  readonly compression: 'deflate' | 'zstd';
}

/** As QEMU limits it. */
const mostL1Bytes = 32 * 1024 * 1024;

/**
 * Reads the beginning of a qcow2 file (version 2 or 3). @returns the header, or why such a file is not taken: it comes from anywhere and may say anything.
 * https://www.qemu.org/docs/master/interop/qcow2.html
 */
export function readQcow2Header(
  head: Uint8Array,
): { readonly header: Qcow2Header } | { readonly why: string } {
  if (!isQcow2(head) || head.length < 72) return { why: 'it is no qcow2 file' };
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) return { why: `qcow2 version ${version} is not known` };
  if (view.getBigUint64(8) !== 0n) {
    return { why: 'it needs a backing file: make it stand alone with qemu-img convert -O qcow2' };
  }
  if (view.getUint32(32) !== 0) return { why: 'it is encrypted' };
  const features = version === 3 && head.length >= 104 ? view.getBigUint64(72) : 0n;
  const fault = faultOf(features);
  if (fault !== undefined) return { why: fault };
  const clusterBits = view.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21)
    return { why: `clusters of 2^${clusterBits} bytes are not allowed` };
  const diskBytes = Number(view.getBigUint64(24));
  if (diskBytes === 0 || diskBytes > mostImageDiskBytes)
    return { why: `a disk of ${diskBytes} bytes is not taken` };
  const l1Entries = view.getUint32(36);
  const needed = Math.ceil(diskBytes / 2 ** (2 * clusterBits - 3));
  if (l1Entries < needed || l1Entries * 8 > mostL1Bytes)
    return { why: 'its first table does not fit its disk' };
  const isZstd = (features & zstdBit) !== 0n && head.length > 104;
  if (isZstd && view.getUint8(104) > 1) return { why: 'its compression is not known' };
  const compression = isZstd && view.getUint8(104) === 1 ? 'zstd' : 'deflate';
  return {
    header: { diskBytes, clusterBits, l1Entries, l1Offset: Number(view.getBigUint64(40)), compression },
  };
}

const dirtyBit = 1n;
const corruptBit = 2n;
const externalDataBit = 4n;
const zstdBit = 8n;
const extendedL2Bit = 16n;

function faultOf(features: bigint): string | undefined {
  if ((features & corruptBit) !== 0n) return 'it is marked as corrupt: see qemu-img check';
  if ((features & externalDataBit) !== 0n) return 'its data are in another file';
  if ((features & extendedL2Bit) !== 0n) {
    return 'it has extended L2 entries: make it plain with qemu-img convert -O qcow2';
  }
  // A dirty one is read as any other: only its reference counts are behind.
  const unknown = features & ~(dirtyBit | corruptBit | externalDataBit | zstdBit | extendedL2Bit);
  return unknown === 0n ? undefined : `it has features that are not known (${unknown.toString(16)})`;
}

function startsWith(bytes: Uint8Array, magic: ArrayLike<number>): boolean {
  return bytes.length >= magic.length && Array.from(magic).every((byte, index) => bytes[index] === byte);
}
