import { isUtf8 } from 'node:buffer';
import { badRequest } from '@selvedge/api';

const varint = 0;
const fixed64 = 1;
const lengthDelimited = 2;
const fixed32 = 5;

/** Walks over the fields of a protobuf message. Throws `BadRequest` for bytes that are none. */
export class ProtobufReader {
  readonly #bytes: Buffer;
  #offset = 0;
  #wireType = varint;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Number of the next field; `undefined` at the end. One `read…` or `skip` has to follow. */
  nextField(): number | undefined {
    if (this.#offset >= this.#bytes.length) return undefined;
    const tag = this.#readSize();
    this.#wireType = tag % 8;
    return Math.floor(tag / 8);
  }

  /** int32, int64 and bool, as far as a JSON number holds them. */
  readInteger(): number {
    if (this.#wireType !== varint) throw malformed();
    let low = 0;
    for (let shift = 0; shift < 49; shift += 7) {
      const byte = this.#bytes[this.#offset++];
      if (byte === undefined) throw malformed();
      low += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return low;
    }
    return this.#readLargeInteger(low);
  }

  readBytes(): Buffer {
    if (this.#wireType !== lengthDelimited) throw malformed();
    const length = this.#readSize();
    return this.#take(length);
  }

  readText(): string {
    const bytes = this.readBytes();
    if (!isUtf8(bytes)) throw badRequest('a text of the protobuf message is not valid UTF-8');
    return bytes.toString('utf8');
  }

  skip(): void {
    switch (this.#wireType) {
      case varint:
        while ((this.#bytes[this.#offset++] ?? 0) >= 0x80);
        if (this.#offset > this.#bytes.length) throw malformed();
        return;
      case fixed64:
        this.#take(8);
        return;
      case lengthDelimited:
        this.#take(this.#readSize());
        return;
      case fixed32:
        this.#take(4);
        return;
      default:
        // Groups were given up before Kubernetes began.
        throw malformed();
    }
  }

  /** Tags and lengths: never more than 32 bits. */
  #readSize(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.#offset++];
      if (byte === undefined) throw malformed();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw malformed();
  }

  /** What is beyond 49 bits: negative numbers take ten bytes. */
  #readLargeInteger(low: number): number {
    let value = BigInt(low);
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#offset++];
      if (byte === undefined) throw malformed();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      const signed = Number(BigInt.asIntN(64, value));
      if (!Number.isSafeInteger(signed)) throw badRequest('a number of the protobuf message is too large');
      return signed;
    }
    throw malformed();
  }

  #take(length: number): Buffer {
    const end = this.#offset + length;
    if (end > this.#bytes.length) throw malformed();
    const part = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return part;
  }
}

const malformed = () => badRequest('the body is not a valid protobuf message');
