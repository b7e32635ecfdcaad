import type { Readable } from 'node:stream';

/** What a program wrote, and on which stream. */
export interface OutputPart {
  readonly from: 'stdout' | 'stderr';
  readonly bytes: Buffer;
}

const headLength = 8;

/**
 * Takes output of exec, attach and logs apart: frames of stream number, three zero bytes, length, bytes. Whole frames are not waited
 * for. Ends with the stream; leaving the loop destroys it.
 */
export async function* readOutput(stream: Readable): AsyncGenerator<OutputPart> {
  let rest: Buffer = Buffer.alloc(0);
  let from: OutputPart['from'] = 'stdout';
  let left = 0;
  for await (const chunk of stream) {
    let bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    while (bytes.length > 0) {
      if (left === 0) {
        if (bytes.length < headLength) break;
        from = bytes[0] === 2 ? 'stderr' : 'stdout';
        left = bytes.readUInt32BE(4);
        bytes = bytes.subarray(headLength);
        continue;
      }
      const part = bytes.subarray(0, left);
      left -= part.length;
      bytes = bytes.subarray(part.length);
      yield { from, bytes: part };
    }
    rest = bytes;
  }
}
