import type { Readable } from 'node:stream';

export interface ImageManifest {
  readonly digest: string;
  readonly mediaType: string;
  /** Exactly what the digest is of. */
  readonly bytes: Buffer;
}

export interface ManifestRequest {
  readonly signal: AbortSignal;
  /** Media types beside those of images and indexes. */
  readonly accept?: readonly string[];
  /** Longer ones are refused. Default: 4 MiB. */
  readonly maxBytes?: number;
}

export interface BlobRequest {
  /** As the manifest says; what is longer or shorter is refused. */
  readonly sizeBytes: number;
  /** To go on behind what is here already; then whoever asks verifies the digest of the whole. Default: 0. */
  readonly offset?: number;
  readonly signal: AbortSignal;
}

export interface WholeBlobRequest {
  /** Longer ones are refused. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Images (or other artifacts) of one repository, for reading: in a registry elsewhere or in the hub's own. Throws RegistryError. */
export interface ImageRepository {
  /** By tag or digest; verified by its digest. */
  getManifest(reference: string, request: ManifestRequest): Promise<ImageManifest>;
  /** Digest of what a tag names now. */
  findDigest(reference: string, signal: AbortSignal): Promise<string>;
  /** The stream fails at its end when the digest is another one: nothing of it counts before. */
  openBlob(digest: string, request: BlobRequest): Promise<Readable>;
  /** A small one, verified by its digest. */
  readBlob(digest: string, request: WholeBlobRequest): Promise<Buffer>;
  /** All tags; more than `most` are refused. */
  listTags(most: number, signal: AbortSignal): Promise<string[]>;
}
