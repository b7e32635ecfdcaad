import type { FileHandle } from 'node:fs/promises';

/** Fills the target from there on; what is beyond the end of the file stays as it is. @returns bytes that the file had. */
export async function readFully(file: FileHandle, target: Buffer, position: number): Promise<number> {
  let length = 0;
  while (length < target.length) {
    const { bytesRead } = await file.read(target, length, target.length - length, position + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}
