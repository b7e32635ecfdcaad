import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { Duplex } from 'node:stream';

/**
 * Bytes in the binary messages of a WebSocket, as kubectl tunnels SPDY. Written by hand, as `ws` does not ask for a protocol with a
 * slash in its name; for tests.
 */
export class TunnelSocket extends Duplex {
  readonly #socket: Duplex;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => this.push(null));
  }

  /** @returns with the headers of the 101. */
  static async open(
    port: number,
    path: string,
    protocol: string,
  ): Promise<{ tunnel: TunnelSocket; headers: IncomingMessage['headers'] }> {
    const req = request({
      port,
      host: '127.0.0.1',
      path,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': Buffer.alloc(16).toString('base64'),
        'sec-websocket-protocol': protocol,
      },
    });
    req.end();
    const [res, socket, head] = (await once(req, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
    if (head.length > 0) socket.unshift(head);
    return { tunnel: new TunnelSocket(socket), headers: res.headers };
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    // Final binary frame, masked with zeros.
    const head = Buffer.alloc(14);
    head[0] = 0x82;
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(chunk.length), 2);
    this.#socket.write(Buffer.concat([head, chunk]), callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }

  #take(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const frame = readFrame(bytes);
      if (!frame) break;
      if (frame.opcode === 2 || frame.opcode === 0) this.push(frame.payload);
      bytes = bytes.subarray(frame.end);
    }
    this.#rest = bytes;
  }
}

function readFrame(bytes: Buffer): { opcode: number; payload: Buffer; end: number } | undefined {
  if (bytes.length < 2) return undefined;
  const short = (bytes[1] ?? 0) & 0x7f;
  const headLength = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < headLength) return undefined;
  const length =
    short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  const end = headLength + length;
  if (bytes.length < end) return undefined;
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload: bytes.subarray(headLength, end), end };
}
