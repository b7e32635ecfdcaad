import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants as zlib, createGunzip, createZstdDecompress } from 'node:zlib';
import type { ImageCompression } from '../machines/disk-image-header.ts';

/** `Damaged`: the file is not what it seems to be. `NoProgram`: this machine cannot decompress such files. The message says why, briefly. */
export class DecompressError extends Error {
  override readonly name = 'DecompressError';
  readonly reason: 'Damaged' | 'NoProgram';

  constructor(reason: DecompressError['reason'], message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.reason = reason;
  }
}

export interface DecompressOptions {
  readonly compression: ImageCompression | undefined;
  /** Program for xz; default `xz` on the PATH. */
  readonly xz?: string | undefined;
  readonly signal: AbortSignal;
}

const readBytes = 256 * 1024;
/** As `zstd` itself takes without being asked for more; what is packed with `--long` needs it. */
const windowLogMax = 27;
const xzMemory = '128MiB';

/** Gives `consume` the bytes of a file, decompressed, as they come. Throws what it throws, DecompressError, or with the signal. */
export async function decompressFile(
  path: string,
  options: DecompressOptions,
  consume: (chunks: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  const { compression, signal } = options;
  let failure: { readonly error: unknown } | undefined;
  const guarded = async (chunks: AsyncIterable<Buffer>) => {
    try {
      await consume(chunks);
    } catch (error) {
      failure = { error };
      throw error;
    }
  };
  try {
    if (compression === 'xz') await throughXz(path, options, guarded);
    else if (compression === 'zstd') await guarded(zstdFrames(path, signal));
    else {
      const file = createReadStream(path, { highWaterMark: readBytes });
      if (compression === undefined) await pipeline(file, guarded, { signal });
      else await pipeline(file, createGunzip({ chunkSize: readBytes }), guarded, { signal });
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DecompressError) throw error;
    const code = String((error as NodeJS.ErrnoException).code);
    if (failure !== undefined && !isCorruption(code)) throw failure.error;
    if (!isCorruption(code)) throw error;
    throw damaged(compression ?? '', error);
  }
}

function isCorruption(code: string): boolean {
  return code.startsWith('Z_') || code.startsWith('ZSTD_');
}

/** All frames of a file, one after the other: Node's own stream ends with the first. */
async function* zstdFrames(path: string, signal: AbortSignal): AsyncIterable<Buffer> {
  const { size } = await stat(path);
  for (let start = 0; start < size; ) {
    const unpacker = createZstdDecompress({
      chunkSize: readBytes,
      params: { [zlib.ZSTD_d_windowLogMax]: windowLogMax },
    });
    const file = createReadStream(path, { highWaterMark: readBytes, start });
    const fed = pipeline(file, unpacker, { signal });
    fed.catch(() => {});
    try {
      yield* unpacker as AsyncIterable<Buffer>;
    } finally {
      file.destroy();
      unpacker.destroy();
    }
    signal.throwIfAborted();
    if (unpacker.bytesWritten === 0) throw damaged('zstd', new Error('there is something behind its end'));
    start += unpacker.bytesWritten;
  }
}

async function throughXz(
  path: string,
  { xz = 'xz', signal }: DecompressOptions,
  consume: (chunks: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  const file = await open(path, constants.O_RDONLY);
  let text = '';
  try {
    const program = spawn(xz, ['-dc', '-T1', `--memlimit-decompress=${xzMemory}`], {
      stdio: [file.fd, 'pipe', 'pipe'],
      signal,
      // Its messages are shown; they are to be the same everywhere.
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C' },
    }) as ChildProcessByStdio<null, Readable, Readable>;
    const ended = once(program, 'close') as Promise<[number | null]>;
    // Whoever waits for the output hears of it first.
    ended.catch(() => {});
    program.stderr.on('data', (chunk: Buffer) => {
      text = (text + chunk.toString('utf8')).slice(0, 500);
    });
    await Promise.race([once(program, 'spawn'), ended]);
    const consumed = await consume(program.stdout).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    if (consumed !== undefined) program.kill('SIGKILL');
    const [code] = await ended;
    // What it says of the file is more than that too little came of it.
    if (code !== null && code !== 0) throw damaged('xz', new Error(text.trim()));
    if (consumed !== undefined) throw consumed.error;
    if (code === null) throw new Error('xz was killed');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new DecompressError(
      'NoProgram',
      'it is compressed with xz, and there is no program xz: install xz-utils',
      {
        cause: error,
      },
    );
  } finally {
    await file.close();
  }
}

function damaged(compression: string, cause: unknown): DecompressError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DecompressError('Damaged', `it cannot be decompressed (${compression}): ${why}`, { cause });
}
