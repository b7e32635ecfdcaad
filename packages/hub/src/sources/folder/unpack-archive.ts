import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { SourceError } from '../source-reading.ts';

const gunzipAsync = promisify(gunzip);

export const archiveLimits = {
  packedBytes: 32 * 1024 * 1024,
  bytes: 64 * 1024 * 1024,
  files: 10_000,
} as const;

/**
 * Unpacks a tar archive, with gzip or without, into a folder of ours. Folders and plain files only: links and devices are left out, names
 * that lead out refused. Throws `SourceError`.
 */
export async function unpackArchive(bytes: Uint8Array, folder: string): Promise<void> {
  const { unpackTar } = await import('modern-tar');
  const isZipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const archive = isZipped ? await unzip(bytes) : bytes;
  let files = 0;
  let entries: Awaited<ReturnType<typeof unpackTar>>;
  try {
    entries = await unpackTar(archive, {
      filter: ({ type }) => {
        files += 1;
        if (files > archiveLimits.files) throw tooMany();
        return type === 'file';
      },
    });
  } catch (cause) {
    if (cause instanceof SourceError) throw cause;
    throw new SourceError('RenderFailed', 'The archive is damaged, or no tar archive.', { cause });
  }
  if (files === 0 && archive.some((byte) => byte !== 0)) {
    throw new SourceError('RenderFailed', 'The archive is damaged, or no tar archive.');
  }
  for (const { header, data } of entries) {
    const path = plainPath(header.name);
    if (path === undefined) {
      throw new SourceError(
        'RenderFailed',
        `The archive has a file that would lie outside of it: "${header.name}".`,
      );
    }
    await writeInside(folder, path, data ?? new Uint8Array());
  }
}

/** Writes a file below a folder that holds no links. `path` is one of `plainPath`. */
export async function writeInside(folder: string, path: string, data: Uint8Array | string): Promise<void> {
  const target = join(folder, path);
  try {
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, data);
  } catch (cause) {
    throw new SourceError('RenderFailed', `"${path}" cannot be written: another file is in its way.`, {
      cause,
    });
  }
}

/** A relative path of plain names, with `/` between; `undefined` for one that leads elsewhere. */
export function plainPath(name: string): string | undefined {
  const parts = name.split('/').filter((part) => part !== '.' && part !== '');
  const isPlain = parts.every((part) => part !== '..' && !/[\0\\]/.test(part) && part.length <= 255);
  return isPlain && parts.length > 0 && !name.startsWith('/') && name.length <= 4_000
    ? parts.join('/')
    : undefined;
}

async function unzip(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return await gunzipAsync(bytes, { maxOutputLength: archiveLimits.bytes });
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new SourceError(
        'LimitExceeded',
        `The archive unpacks to more than ${archiveLimits.bytes} bytes.`,
        { cause },
      );
    }
    throw new SourceError('RenderFailed', 'The archive is damaged: it cannot be decompressed.', { cause });
  }
}

function tooMany(): SourceError {
  return new SourceError('LimitExceeded', `The archive holds more than ${archiveLimits.files} entries.`);
}
