import { badRequest } from '@selvedge/api';

/** One field of a message as it stands on the wire: a varint, or bytes. */
export interface WireField {
  readonly number: number;
  readonly value: bigint | Buffer;
}

/** Fields of a protobuf message, in their order. Throws `BadRequest` for bytes that are none. */
export function* readFields(bytes: Buffer): Generator<WireField> {
  let offset = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[offset++];
      if (byte === undefined) throw truncated();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw truncated();
  };
  const take = (length: number): Buffer => {
    const end = offset + length;
    if (end > bytes.length) throw truncated();
    const part = bytes.subarray(offset, end);
    offset = end;
    return part;
  };
  while (offset < bytes.length) {
    const tag = Number(varint());
    const number = Math.floor(tag / 8);
    const wireType = tag % 8;
    if (wireType === 0) yield { number, value: varint() };
    else if (wireType === 2) yield { number, value: take(Number(varint())) };
    else if (wireType === 1) yield { number, value: take(8) };
    else if (wireType === 5) yield { number, value: take(4) };
    else throw truncated();
  }
}

const truncated = () => badRequest('the body is not a valid protobuf message');
