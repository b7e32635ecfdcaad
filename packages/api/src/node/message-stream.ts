import { Duplex } from 'node:stream';

/** What `MessageStream` needs of a WebSocket; one of package `ws` has it. */
export interface MessageSocket {
  readonly readyState: number;
  on(event: 'message', listener: (data: Buffer, isBinary: boolean) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  send(data: Buffer, options: { binary: true }, sent: (error?: Error | null) => void): void;
  pause(): void;
  resume(): void;
  close(): void;
  terminate(): void;
}

/**
 * The binary messages of an open WebSocket as one stream of bytes with back-pressure, for an HTTP/2 session on top (by `socketFor`). Make it within the
 * event `open`, or bytes are lost.
 *
 * It never ends, it is destroyed; a text message destroys it too. Unlike that of `createWebSocketStream` of `ws`, each callback is called in any
 * case when the connection is cut.
 */
export class MessageStream extends Duplex {
  readonly #socket: MessageSocket;

  constructor(socket: MessageSocket) {
    super({ readableHighWaterMark: 64 * 1024, writableHighWaterMark: 64 * 1024 });
    this.#socket = socket;
    // `close` follows, also before anybody listens.
    this.on('error', () => {});
    socket.on('message', (data, isBinary) => {
      if (!isBinary) this.destroy(new Error('a text message came where bytes were to come'));
      else if (!this.destroyed && !this.push(data)) socket.pause();
    });
    socket.on('close', () => this.destroy());
    socket.on('error', (error) => this.destroy(error));
  }

  override _read(): void {
    if (this.#isOpen) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#send(chunk, callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    this.#send(chunks.length === 1 && chunks[0] ? chunks[0].chunk : concat(chunks), callback);
  }

  override _final(callback: () => void): void {
    this.#socket.close();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.terminate();
    callback(error);
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === open;
  }

  /** What can no longer be sent is dropped: `close` follows. */
  #send(bytes: Buffer, callback: () => void): void {
    if (this.#isOpen) this.#socket.send(bytes, { binary: true }, () => callback());
    else callback();
  }
}

/** `WebSocket.OPEN`. */
const open = 1;

function concat(chunks: readonly { chunk: Buffer }[]): Buffer {
  return Buffer.concat(chunks.map(({ chunk }) => chunk));
}
