import type { MachineArchitecture, RackImage, RackInspectionImage, RackReport } from '@selvedge/api';

/** One stretch of a disk image. */
export interface ImageChunk {
  readonly offset: number;
  readonly length: number;
  /** SHA-256 of its bytes, hexadecimal; `zero`: nothing but zeros. */
  readonly sha256: string;
}

/** A disk image that is whole here, verified against its digest, decoded, and ready to be written chunk by chunk. */
export interface PreparedImage {
  readonly digest: string;
  readonly diskBytes: number;
  readonly chunkCount: number;
  /** Offsets ascend and cover the disk image without gaps. Made when it is asked for: the map of a big image is not held as objects. */
  chunk(index: number): ImageChunk;
  /**
   * Its bytes in pieces of at most 64 KiB, each good until the next one is asked for: no chunk is held whole, however many machines read at once. What is read is verified again;
   * throws before the last piece when the disk of the rack no longer gives what the digest says (the image is then prepared again), or with the signal.
   */
  read(index: number, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/**
 * The disk images and boot files of the rack, out of the site's depot. Level-based: the last `setWanted` is the whole truth; what it names is fetched within the download
 * windows and kept, also over restarts and with the hub away.
 */
export interface ImageLibrary {
  setWanted(
    images: readonly RackImage[],
    inspection: readonly RackInspectionImage[],
    mayFetch: boolean,
  ): void;
  states(): RackReport['images'];
  onChange(listener: () => void): void;
  /** Undefined while it is not whole. */
  find(image: RackImage): Promise<PreparedImage | undefined>;
  /** Why the image is not whole; undefined: it is, or is on its way, or waits for a download window. */
  fault(
    image: RackImage,
  ): { readonly reason: 'ImageUnavailable' | 'ImageMismatch'; readonly message: string } | undefined;
  /** A file of the inspection system or a boot loader, as a path on this machine: `vmlinuz`, `initrd.img`, `undionly.kpxe`, `snponly.efi`. */
  findBootFile(architecture: MachineArchitecture, name: string): Promise<string | undefined>;
  close(): Promise<void>;
}
