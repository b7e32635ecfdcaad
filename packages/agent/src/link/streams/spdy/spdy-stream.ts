import { Duplex } from 'node:stream';

/** How a stream reaches the connection that it is part of. */
export interface StreamWire {
  /** Calls back when the connection took the bytes. */
  send(bytes: Buffer, isLast: boolean, callback: (error?: Error | null) => void): void;
  /** The stream is over before both sides have ended it. */
  reset(): void;
  /** Both sides have ended it, or it was reset. */
  forget(): void;
  /** There is room for what the client sends. */
  wake(): void;
}

/** Kept for a reader that is slow; beyond it the whole connection waits, for SPDY as kubectl speaks it has no windows. */
const highWaterMark = 128 * 1024;
/** One frame; short enough that streams take turns. */
const longestData = 64 * 1024;

/** One stream that the client opened. Each side ends on its own. */
export class SpdyStream extends Duplex {
  readonly headers: ReadonlyMap<string, string>;
  readonly #wire: StreamWire;
  #hasClientEnded = false;
  #isOver = false;

  constructor(headers: ReadonlyMap<string, string>, wire: StreamWire) {
    super({ highWaterMark, allowHalfOpen: true, decodeStrings: true });
    this.headers = headers;
    this.#wire = wire;
  }

  /** Bytes from the client. @returns false when it should send no more for now. */
  receive(bytes: Buffer): boolean {
    if (this.destroyed || this.#hasClientEnded || bytes.length === 0) return true;
    return this.push(bytes);
  }

  receiveEnd(): void {
    if (this.#hasClientEnded || this.destroyed) return;
    this.#hasClientEnded = true;
    this.push(null);
  }

  /** The client gave the stream up, or the connection is gone. */
  receiveReset(error?: Error): void {
    this.#isOver = true;
    this.destroy(error);
  }

  override _read(): void {
    this.#wire.wake();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (chunk.length <= longestData) {
      this.#wire.send(chunk, false, callback);
      return;
    }
    this.#wire.send(chunk.subarray(0, longestData), false, (error) => {
      if (error) callback(error);
      else this._write(chunk.subarray(longestData), _encoding, callback);
    });
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#wire.send(Buffer.alloc(0), true, callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#isOver && !(this.#hasClientEnded && this.writableFinished)) this.#wire.reset();
    this.#wire.forget();
    this.#wire.wake();
    callback(error);
  }
}
