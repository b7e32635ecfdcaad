import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import {
  compressionOf,
  foreignFormatOf,
  type ImageCompression,
  isQcow2,
  mostImageDiskBytes,
  type RackImage,
  qcow2HeaderBytes,
  readQcow2Header,
  StatusError,
} from '@selvedge/api';
import { DecompressError, decompressFile } from '@selvedge/api/node';

export interface DiskFacts {
  readonly format: RackImage['format'];
  readonly compression: ImageCompression | undefined;
  /** Of the disk that it becomes. */
  readonly diskBytes: number;
}

/** What a file with a disk image is; a compressed one is read whole. Throws StatusError for what no machine could be given, or with the signal. */
export async function readDiskFacts(path: string, signal: AbortSignal): Promise<DiskFacts> {
  const head = await readHead(path);
  const compression = compressionOf(head);
  if (compression === undefined) {
    const { size } = await stat(path);
    return { ...factsOf(path, head, size), compression };
  }
  let facts: Omit<DiskFacts, 'compression'> | undefined;
  let begin = Buffer.alloc(0);
  let length = 0;
  const stop = new AbortController();
  try {
    await decompressFile(
      path,
      { compression, signal: AbortSignal.any([signal, stop.signal]) },
      async (chunks) => {
        for await (const chunk of chunks) {
          if (begin.length < qcow2HeaderBytes)
            begin = Buffer.concat([begin, chunk.subarray(0, qcow2HeaderBytes)]);
          length += chunk.length;
          if (begin.length < qcow2HeaderBytes || !isQcow2(begin)) continue;
          facts = factsOf(path, begin, length);
          // The header says it all.
          stop.abort();
          return;
        }
      },
    );
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DecompressError) throw unfit(path, error.message);
    if (facts === undefined) throw error;
  }
  return { ...(facts ?? factsOf(path, begin, length)), compression };
}

function factsOf(path: string, head: Buffer, length: number): Omit<DiskFacts, 'compression'> {
  if (isQcow2(head)) {
    const read = readQcow2Header(head);
    if ('why' in read) throw unfit(path, read.why);
    return { format: 'QCOW2', diskBytes: wholeSectors(read.header.diskBytes) };
  }
  const other = foreignFormatOf(head);
  if (other !== undefined) throw unfit(path, `it is ${other}: make it raw or qcow2 with qemu-img convert`);
  if (length === 0) throw unfit(path, 'it is empty');
  if (length > mostImageDiskBytes) throw unfit(path, 'the disk is larger than 2 TiB');
  return { format: 'Raw', diskBytes: wholeSectors(length) };
}

function wholeSectors(bytes: number): number {
  return Math.ceil(bytes / 512) * 512;
}

export interface PackedFile {
  readonly path: string;
  readonly digest: string;
  readonly sizeBytes: number;
}

/**
 * Compresses a file, as thin links to sites want it. The same file always becomes the same bytes, so that a push that was broken off goes on.
 * @param onProgress told how many bytes of the file were read.
 */
export async function compressFile(
  path: string,
  options: {
    readonly folder: string;
    readonly signal: AbortSignal;
    readonly onProgress: (bytes: number) => void;
  },
): Promise<PackedFile> {
  const { folder, signal, onProgress } = options;
  const target = join(folder, 'disk.img.zst');
  const hash = createHash('sha256');
  let sizeBytes = 0;
  let read = 0;
  await pipeline(
    createReadStream(path, { highWaterMark: readBytes }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        onProgress((read += chunk.length));
        yield chunk;
      }
    },
    createZstdCompress({
      chunkSize: readBytes,
      params: { [constants.ZSTD_c_compressionLevel]: compressionLevel },
    }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        sizeBytes += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(target, { flags: 'wx', mode: 0o600 }),
    { signal },
  );
  return { path: target, digest: `sha256:${hash.digest('hex')}`, sizeBytes };
}

/** A file as it is. */
export async function hashFile(
  path: string,
  options: { readonly signal: AbortSignal; readonly onProgress: (bytes: number) => void },
): Promise<PackedFile> {
  const { signal, onProgress } = options;
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const chunks = createReadStream(path, { highWaterMark: readBytes, signal });
  for await (const chunk of chunks as AsyncIterable<Buffer>) {
    hash.update(chunk);
    sizeBytes += chunk.length;
    onProgress(sizeBytes);
  }
  return { path, digest: `sha256:${hash.digest('hex')}`, sizeBytes };
}

const readBytes = 256 * 1024;
/** The usual one: a window of 2 MiB, which costs a rack little memory. */
const compressionLevel = 3;

async function readHead(path: string): Promise<Buffer> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw new StatusError('BadRequest', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
  try {
    const head = Buffer.alloc(qcow2HeaderBytes);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return head.subarray(0, bytesRead);
  } catch (cause) {
    throw new StatusError('BadRequest', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  } finally {
    await file.close();
  }
}

function unfit(path: string, why: string): StatusError {
  return new StatusError('BadRequest', `${path} cannot be put on a machine: ${why}`);
}
