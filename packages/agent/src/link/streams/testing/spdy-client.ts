import { once } from 'node:events';
import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import { constants, createDeflate, type Deflate } from 'node:zlib';
import { headerDictionary } from '../spdy/header-dictionary.ts';

/** What came on one stream. */
export interface ClientStream {
  readonly id: number;
  readonly data: Buffer[];
  hasEnded: boolean;
  wasReset: boolean;
}

/** The client's side of SPDY/3.1 as kubectl speaks it, written from the specification; for tests. */
export class SpdyClient {
  readonly socket: Duplex;
  readonly streams = new Map<number, ClientStream>();
  /** Ids of streams that the server took. */
  readonly replied: number[] = [];
  readonly pongs: number[] = [];
  wasToldGoodbye = false;
  readonly #deflate: Deflate;
  #next = 1;
  #turn: Promise<unknown> = Promise.resolve();
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Duplex) {
    this.socket = socket;
    this.#deflate = createDeflate({ dictionary: headerDictionary() });
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  /** Rejects with the text of a refusal. */
  static async open(
    port: number,
    path: string,
    protocols: readonly string[],
  ): Promise<SpdyClient & { protocol: string }> {
    const req = request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      path,
      headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': [...protocols] },
    });
    const { promise, resolve, reject } = Promise.withResolvers<SpdyClient & { protocol: string }>();
    req.on('error', reject);
    req.on('response', (res) => {
      void res
        .toArray()
        .then((parts) =>
          reject(new Error(`${res.statusCode} ${Buffer.concat(parts as Buffer[]).toString('utf8')}`)),
        );
    });
    req.on('upgrade', (res, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      const protocol = String(res.headers['x-stream-protocol-version']);
      resolve(Object.assign(new SpdyClient(socket), { protocol }));
    });
    req.end();
    return await promise;
  }

  /** One at a time: the headers of all streams are compressed as one. */
  openStream(headers: Readonly<Record<string, string>>, isEnded = false): Promise<ClientStream> {
    const opened = this.#turn.then(() => this.#openStream(headers, isEnded));
    this.#turn = opened;
    return opened;
  }

  async #openStream(headers: Readonly<Record<string, string>>, isEnded: boolean): Promise<ClientStream> {
    const id = this.#next;
    this.#next += 2;
    const stream: ClientStream = { id, data: [], hasEnded: false, wasReset: false };
    this.streams.set(id, stream);
    const block = await this.#compress(headers);
    const head = Buffer.alloc(18);
    head.writeUInt16BE(0x8003, 0);
    head.writeUInt16BE(1, 2);
    head.writeUInt8(isEnded ? 1 : 0, 4);
    head.writeUIntBE(10 + block.length, 5, 3);
    head.writeUInt32BE(id, 8);
    this.socket.write(Buffer.concat([head, block]));
    return stream;
  }

  async send({ id }: ClientStream, bytes: Buffer | string, isLast = false): Promise<void> {
    const payload = Buffer.from(bytes as string);
    const head = Buffer.alloc(8);
    head.writeUInt32BE(id, 0);
    head.writeUInt8(isLast ? 1 : 0, 4);
    head.writeUIntBE(payload.length, 5, 3);
    if (!this.socket.write(Buffer.concat([head, payload]))) await once(this.socket, 'drain');
  }

  /** CANCEL: it wants no more of this stream. */
  reset({ id }: ClientStream): void {
    const frame = Buffer.from([0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5]);
    frame.writeUInt32BE(id, 8);
    this.socket.write(frame);
  }

  ping(id: number): void {
    const frame = Buffer.from([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 0]);
    frame.writeUInt32BE(id, 8);
    this.socket.write(frame);
  }

  close(): void {
    this.#deflate.destroy();
    this.socket.destroy();
  }

  async #compress(headers: Readonly<Record<string, string>>): Promise<Buffer> {
    const number = (value: number) => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return bytes;
    };
    const pairs = Object.entries(headers);
    const plain = Buffer.concat([
      number(pairs.length),
      ...pairs.flat().flatMap((text) => [number(text.length), Buffer.from(text, 'latin1')]),
    ]);
    const parts: Buffer[] = [];
    const take = (part: Buffer) => parts.push(part);
    this.#deflate.on('data', take);
    this.#deflate.write(plain);
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, () => resolve()));
    this.#deflate.off('data', take);
    return Buffer.concat(parts);
  }

  #take(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 8) {
      const length = bytes.readUIntBE(5, 3);
      if (bytes.length < 8 + length) break;
      this.#frame(bytes.subarray(0, 8), bytes.subarray(8, 8 + length));
      bytes = bytes.subarray(8 + length);
    }
    this.#rest = bytes;
  }

  #frame(head: Buffer, payload: Buffer): void {
    const first = head.readUInt32BE(0);
    if (first < 0x8000_0000) {
      const stream = this.streams.get(first);
      if (payload.length > 0) stream?.data.push(payload);
      if (stream && (head[4] ?? 0) & 1) stream.hasEnded = true;
      return;
    }
    const type = first & 0xffff;
    if (type === 2) this.replied.push(payload.readUInt32BE(0));
    if (type === 6) this.pongs.push(payload.readUInt32BE(0));
    if (type === 7) this.wasToldGoodbye = true;
    if (type === 3) {
      const stream = this.streams.get(payload.readUInt32BE(0));
      if (stream) stream.wasReset = true;
    }
  }
}

export const textOf = (stream: ClientStream): string => Buffer.concat(stream.data).toString('utf8');
