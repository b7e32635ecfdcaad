/** A file of a tar archive. */
export interface TarFile {
  /** Path within the archive: at most 100 of `A-Z a-z 0-9 . _ - /`. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Exactly so many bytes. */
  readonly content: Uint8Array | AsyncIterable<Uint8Array>;
}

export const tarBlockBytes = 512;

/** A tar archive (POSIX ustar) of plain files, as a stream. Throws when a file is not as long as it says. */
export async function* writeTar(
  files: AsyncIterable<TarFile> | Iterable<TarFile>,
  { modified }: { modified: Date },
): AsyncGenerator<Uint8Array> {
  for await (const { name, sizeBytes, content } of files) {
    yield tarHeader({ name, sizeBytes, modified });
    let length = 0;
    for await (const chunk of content instanceof Uint8Array ? [content] : content) {
      length += chunk.length;
      if (length > sizeBytes) break;
      yield chunk;
    }
    if (length !== sizeBytes) throw new Error(`${name} has ${length} bytes or more, not ${sizeBytes}`);
    const rest = sizeBytes % tarBlockBytes;
    if (rest > 0) yield Buffer.alloc(tarBlockBytes - rest);
  }
  yield Buffer.alloc(2 * tarBlockBytes);
}

function tarHeader({
  name,
  sizeBytes,
  modified,
}: {
  name: string;
  sizeBytes: number;
  modified: Date;
}): Buffer {
  if (!isTarName(name)) throw new Error(`"${name}" is no name for a file of an archive`);
  const header = Buffer.alloc(tarBlockBytes);
  header.write(name, 0, 'latin1');
  header.write('0000644\0' + '0000000\0'.repeat(2), 100, 'latin1');
  writeSize(header, sizeBytes);
  header.write(
    `${Math.floor(modified.getTime() / 1000)
      .toString(8)
      .padStart(11, '0')}\0`,
    136,
    'latin1',
  );
  header.write('0', 156, 'latin1');
  header.write('ustar\0' + '00', 257, 'latin1');
  header.write(`${tarChecksum(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** Of 8 GiB and more, the eleven octal digits are no longer enough: then base 256, as GNU and others have it. */
function writeSize(header: Buffer, sizeBytes: number): void {
  if (sizeBytes < 8 ** 11) {
    header.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
    return;
  }
  header[124] = 0x80;
  header.writeBigUInt64BE(BigInt(sizeBytes), 128);
}

/** Sum of the header's bytes, its own field taken as spaces. */
export function tarChecksum(header: Uint8Array): number {
  return header.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}

/** Plain, relative, and leading nowhere else. */
export function isTarName(name: string): boolean {
  if (!/^[A-Za-z0-9._/-]{1,100}$/.test(name)) return false;
  return name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
