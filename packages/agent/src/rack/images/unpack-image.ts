import { open, rm } from 'node:fs/promises';
import {
  compressionOf,
  foreignFormatOf,
  imageChunkBytes,
  isQcow2,
  type Qcow2Header,
  qcow2HeaderBytes,
  type RackImage,
} from '@selvedge/api';
import { DecompressError, type DecompressOptions, decompressFile } from '@selvedge/api/node';
import type { ChunkMap } from './chunk-map.ts';
import { DiskWriter, type DiskWriterOptions } from './disk-writer.ts';
import { ImageFault } from './image-fault.ts';
import { getQcow2Header, Qcow2Image } from './qcow2-image.ts';
import { readFully } from './read-fully.ts';

export interface UnpackOptions {
  /** The file, as the layer of the artifact is. */
  readonly source: string;
  readonly format: RackImage['format'];
  /** The sparse file that the disk becomes; `<target>.part` may be used meanwhile. */
  readonly target: string;
  readonly checkRoom: DiskWriterOptions['checkRoom'];
  readonly xz?: string | undefined;
  readonly signal: AbortSignal;
}

/** Makes the disk out of the file of an image, whatever it is packed in. Durable when it resolves. Throws ImageFault, or errors of this disk. */
export async function unpackImage(options: UnpackOptions): Promise<ChunkMap> {
  const { source, format, target } = options;
  const compression = compressionOf(await headOf(source));
  if (format === 'Raw') return await unpackRaw({ ...options, compression });
  if (compression === undefined) return await convertQcow2(source, options);
  const whole = `${target}.part`;
  try {
    await decompressTo(whole, { ...options, compression });
    return await convertQcow2(whole, options);
  } finally {
    await rm(whole, { force: true });
  }
}

async function unpackRaw(options: UnpackOptions & DecompressOptions): Promise<ChunkMap> {
  const { source, target, checkRoom } = options;
  const writer = await DiskWriter.open({ path: target, checkRoom });
  try {
    await decompress(source, options, async (chunks) => {
      let isFirst = true;
      for await (const chunk of chunks) {
        if (isFirst) checkRaw(chunk);
        isFirst = false;
        await writer.write(chunk);
      }
      if (isFirst) throw new ImageFault('ImageMismatch', 'the image is empty; push it again');
    });
    return await writer.finish();
  } finally {
    await writer.close();
  }
}

/** What would be written as it is, and no machine would boot from. */
function checkRaw(head: Buffer): void {
  const found = isQcow2(head)
    ? 'qcow2: MachineImage.spec.format is to be QCOW2'
    : (foreignFormatOf(head) ?? nested(head));
  if (found === undefined) return;
  throw new ImageFault('ImageMismatch', `the image is no raw disk but ${found}`);
}

function nested(head: Buffer): string | undefined {
  const compression = compressionOf(head);
  return compression === undefined ? undefined : `compressed once more with ${compression}`;
}

async function convertQcow2(path: string, { target, checkRoom, signal }: UnpackOptions): Promise<ChunkMap> {
  const file = await open(path, 'r');
  try {
    const image = await Qcow2Image.open(file);
    const diskBytes = Math.ceil(image.diskBytes / 512) * 512;
    const writer = await DiskWriter.open({ path: target, checkRoom });
    try {
      for (let offset = 0; offset < diskBytes; offset += imageChunkBytes) {
        signal.throwIfAborted();
        const length = Math.min(imageChunkBytes, diskBytes - offset);
        await writer.writeChunk(length, async (chunk) => await image.read(chunk, offset));
      }
      return await writer.finish();
    } finally {
      await writer.close();
    }
  } finally {
    await file.close();
  }
}

/** A qcow2 file is read here and there: it has to be whole first. */
async function decompressTo(path: string, options: UnpackOptions & DecompressOptions): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await decompress(options.source, options, async (chunks) => {
      let length = 0;
      let checkedBytes = 0;
      let mostBytes = Number.POSITIVE_INFINITY;
      for await (const chunk of chunks) {
        // What cannot be used is not unpacked first.
        if (length === 0 && chunk.length >= qcow2HeaderBytes)
          mostBytes = mostFileBytes(getQcow2Header(chunk));
        length += chunk.length;
        if (length > mostBytes) {
          throw new ImageFault(
            'ImageMismatch',
            'the qcow2 image unpacks to much more than its disk can hold',
          );
        }
        if (length - checkedBytes >= imageChunkBytes) {
          await options.checkRoom(0);
          checkedBytes = length;
        }
        await file.writeFile(chunk);
      }
    });
  } finally {
    await file.close();
  }
}

/** Tables, and states of the disk that were kept beside the newest, take room as well. */
function mostFileBytes({ diskBytes }: Qcow2Header): number {
  return 4 * diskBytes + 64 * 1024 * 1024;
}

async function decompress(...[path, options, consume]: Parameters<typeof decompressFile>): Promise<void> {
  try {
    await decompressFile(path, options, consume);
  } catch (error) {
    if (!(error instanceof DecompressError)) throw error;
    const isOurs = error.reason === 'NoProgram';
    const hint = isOurs ? 'or push it compressed with zstd' : 'push it again';
    throw new ImageFault(
      isOurs ? 'ImageUnavailable' : 'ImageMismatch',
      `the image: ${error.message}; ${hint}`,
      {
        cause: error,
      },
    );
  }
}

async function headOf(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(qcow2HeaderBytes);
    return head.subarray(0, await readFully(file, head, 0));
  } finally {
    await file.close();
  }
}
