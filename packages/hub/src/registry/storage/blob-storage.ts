import type { Readable } from 'node:stream';

export interface StoredBytes {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
}

export interface WrittenBytes {
  readonly sizeBytes: number;
  /** `sha256:…` */
  readonly digest: string;
}

/** Some of the bytes: from `offset` on, to the end or `length` of them. */
export interface BytesRange {
  readonly offset: number;
  readonly length?: number;
}

/**
 * Bytes under keys (`a/b/c` of `[A-Za-z0-9._-]`), where the hub's registry keeps its content. What is written is there as a whole, or not at all, and
 * durable when the promise resolves; writing again replaces. Several hubs may use the same one. Throws DistributionError
 * (Unavailable, StorageFull), or what the given stream threw.
 */
export interface BlobStorage {
  /** For messages and logs; no secret. */
  readonly name: string;
  put(key: string, bytes: Uint8Array): Promise<void>;
  write(key: string, body: AsyncIterable<Uint8Array>): Promise<WrittenBytes>;
  find(key: string): Promise<StoredBytes | undefined>;
  /** The whole of something small. */
  read(key: string): Promise<Buffer | undefined>;
  /** The caller reads the stream to its end, or destroys it. */
  open(key: string, range?: BytesRange): Promise<Readable | undefined>;
  /** Replaces what is at `to`; its `modifiedAt` becomes now. */
  move(from: string, to: string): Promise<void>;
  /** Nothing there: nothing to do. */
  delete(key: string): Promise<void>;
  /** Everything whose key starts so, in no particular order. `prefix` ends with a slash, or is empty. */
  list(prefix: string): AsyncIterable<StoredBytes>;
  /** Removes what writes left behind that were cut off before this time. */
  removeUnfinished(before: Date): Promise<void>;
}
