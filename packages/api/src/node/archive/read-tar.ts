import { isTarName, tarBlockBytes, tarChecksum } from './write-tar.ts';

/** A file of an archive that is being read. */
export interface TarEntry {
  /** Plain and relative: see `isTarName`. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Once, and before the next entry is asked for; what is not read is skipped. */
  content(): AsyncGenerator<Uint8Array>;
}

/** The archive is not one that `writeTar` makes, or it is damaged; the message is for people. */
export class TarError extends Error {
  override readonly name = 'TarError';
}

/**
 * Files of an archive, one after the other, nothing kept in memory. Takes what `writeTar` makes and no more: plain files with plain
 * names. Links, folders, devices, names that lead out, extensions, damage and a missing end throw TarError.
 */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const reader = new ByteReader(source);
  try {
    for (;;) {
      const header = await reader.read(tarBlockBytes);
      if (header.every((byte) => byte === 0)) {
        if ((await reader.read(tarBlockBytes)).some((byte) => byte !== 0)) {
          throw new TarError('the archive is damaged: there is more behind its end');
        }
        return;
      }
      const { name, sizeBytes } = parseHeader(header);
      let left = sizeBytes;
      yield {
        name,
        sizeBytes,
        content: async function* () {
          while (left > 0) {
            const chunk = await reader.readSome(left);
            left -= chunk.length;
            yield chunk;
          }
        },
      };
      while (left > 0) left -= (await reader.readSome(left)).length;
      await reader.read((tarBlockBytes - (sizeBytes % tarBlockBytes)) % tarBlockBytes);
    }
  } finally {
    await reader.close();
  }
}

function parseHeader(header: Buffer): { name: string; sizeBytes: number } {
  if (header.toString('latin1', 257, 262) !== 'ustar') throw new TarError('the file is no archive of a site');
  if (parseOctal(header, 148, 8) !== tarChecksum(header)) throw new TarError('the archive is damaged');
  const name = parseText(header.subarray(0, 100));
  const shown = JSON.stringify(name.slice(0, 100));
  if (!isTarName(name) || parseText(header.subarray(345, 500)) !== '') {
    throw new TarError(`the archive has a file with the name ${shown}, which no archive of a site has`);
  }
  if (header[156] !== 0x30) throw new TarError(`${shown} in the archive is not a plain file`);
  return { name, sizeBytes: parseSize(header) };
}

function parseText(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? field.length : end);
}

function parseSize(header: Buffer): number {
  if (header[124] !== 0x80) return parseOctal(header, 124, 12);
  const size = header.readBigUInt64BE(128);
  if (size > BigInt(Number.MAX_SAFE_INTEGER) || header.readUInt32BE(124) !== 0x80000000) {
    throw new TarError('the archive is damaged: a file of it has an impossible size');
  }
  return Number(size);
}

function parseOctal(header: Buffer, offset: number, length: number): number {
  const text = parseText(header.subarray(offset, offset + length)).trim();
  if (!/^[0-7]{1,12}$/.test(text)) throw new TarError('the archive is damaged: a number in it is none');
  return Number.parseInt(text, 8);
}

/** Exactly so many bytes at a time, of a stream that comes in pieces as it likes. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async read(length: number): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for (let left = length; left > 0; ) {
      const chunk = await this.readSome(left);
      chunks.push(chunk);
      left -= chunk.length;
    }
    return Buffer.concat(chunks, length);
  }

  /** At least one byte and at most so many. */
  async readSome(most: number): Promise<Uint8Array> {
    while (this.#rest.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) throw new TarError('the archive ends too early: copy or export it again');
      this.#rest = next.value;
    }
    const chunk = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(chunk.length);
    return chunk;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
