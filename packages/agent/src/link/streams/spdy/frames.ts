/** Types of control frames (SPDY/3, 2.6). */
export const frameTypes = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

export const finFlag = 1;

export const resetStatus = { protocolError: 1, invalidStream: 2, refusedStream: 3, cancel: 5 } as const;

const spdyVersion = 3;
export const frameHeadLength = 8;

export type FrameHead =
  | { readonly isControl: false; readonly streamId: number; readonly flags: number; readonly length: number }
  | { readonly isControl: true; readonly type: number; readonly flags: number; readonly length: number };

/** The first eight bytes of a frame. Throws when it is of another version. */
export function parseFrameHead(bytes: Buffer): FrameHead {
  const first = bytes.readUInt32BE(0);
  const flags = bytes.readUInt8(4);
  const length = bytes.readUIntBE(5, 3);
  if (first < 0x8000_0000) return { isControl: false, streamId: first, flags, length };
  const version = (first >>> 16) & 0x7fff;
  if (version !== spdyVersion) throw new RangeError(`a frame of SPDY version ${version} instead of 3`);
  return { isControl: true, type: first & 0xffff, flags, length };
}

export function controlFrame(type: number, payload: Buffer, flags = 0): Buffer {
  const head = Buffer.alloc(frameHeadLength);
  head.writeUInt16BE(0x8000 | spdyVersion, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(payload.length, 5, 3);
  return Buffer.concat([head, payload]);
}

/** Head of a data frame; the bytes follow. */
export function dataFrameHead(streamId: number, length: number, flags = 0): Buffer {
  const head = Buffer.alloc(frameHeadLength);
  head.writeUInt32BE(streamId, 0);
  head.writeUInt8(flags, 4);
  head.writeUIntBE(length, 5, 3);
  return head;
}

export function uint32s(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4);
  return bytes;
}
