import type { Duplex } from 'node:stream';
import {
  controlFrame,
  dataFrameHead,
  type FrameHead,
  finFlag,
  frameHeadLength,
  frameTypes,
  parseFrameHead,
  resetStatus,
  uint32s,
} from './frames.ts';
import { emptyHeaderBlock, HeaderReader } from './header-block.ts';
import { SpdyStream } from './spdy-stream.ts';

/** Longest frame that is not data. */
const longestControl = 64 * 1024;
/** Streams at a time: two for each connection that is forwarded. */
const mostStreams = 512;

/**
 * The server's side of a SPDY/3.1 connection as Kubernetes uses it: the client opens all streams, and nobody sends window
 * updates. A reader that does not keep up holds the whole connection.
 */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #headers = new HeaderReader();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #closed = new AbortController();
  #newest = 0;
  #hasReplied = false;
  #rest: Buffer = Buffer.alloc(0);
  /** Data frame whose bytes are coming. */
  #current: { streamId: number; left: number; isLast: boolean } | undefined;
  #wake: () => void = () => undefined;

  /** `onStream` is called for each stream; one that it does not want it destroys. */
  constructor(socket: Duplex, onStream: (stream: SpdyStream) => void) {
    this.#socket = socket;
    this.#onStream = onStream;
    socket.on('error', () => this.#fail());
    socket.on('close', () => this.#fail());
  }

  /** Fires when the connection is over. */
  get signal(): AbortSignal {
    return this.#closed.signal;
  }

  /** Reads until the client ends the connection. Never rejects: a client that breaks the rules is let go. */
  async run(): Promise<void> {
    try {
      for await (const chunk of this.#socket.iterator({ destroyOnReturn: false })) {
        await this.#take(chunk as Buffer);
        if (this.#closed.signal.aborted) break;
      }
    } catch {
      this.#socket.destroy();
    }
    this.#fail();
  }

  /** Sends what is written, tells the client that it was all, and ends the connection. */
  close(): void {
    if (this.#socket.writable) {
      this.#socket.end(controlFrame(frameTypes.goaway, uint32s(this.#newest, 0)));
    }
  }

  #fail(): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    this.#wake();
    this.#headers.close();
    for (const stream of this.#streams.values()) stream.receiveReset();
    this.#streams.clear();
    if (this.#socket.writable) this.#socket.end();
  }

  async #take(chunk: Buffer): Promise<void> {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length > 0) {
      if (this.#current) {
        const part = bytes.subarray(0, this.#current.left);
        bytes = bytes.subarray(part.length);
        await this.#takeData(part);
        continue;
      }
      if (bytes.length < frameHeadLength) break;
      const head = parseFrameHead(bytes);
      if (!head.isControl) {
        bytes = bytes.subarray(frameHeadLength);
        const { streamId, length, flags } = head;
        this.#current = { streamId, left: length, isLast: (flags & finFlag) !== 0 };
        if (length === 0) await this.#takeData(Buffer.alloc(0));
        continue;
      }
      if (head.length > longestControl) throw new RangeError('a SPDY frame is too long');
      const end = frameHeadLength + head.length;
      if (bytes.length < end) break;
      await this.#takeControl(head, bytes.subarray(frameHeadLength, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = Buffer.from(bytes);
  }

  async #takeData(part: Buffer): Promise<void> {
    const current = this.#current;
    if (!current) return;
    current.left -= part.length;
    if (current.left === 0) this.#current = undefined;
    const stream = this.#streams.get(current.streamId);
    // It may have been reset while the client did not know yet.
    if (!stream) return;
    const hasRoom = stream.receive(part);
    if (current.left === 0 && current.isLast) stream.receiveEnd();
    if (!hasRoom) await this.#roomIn(stream);
  }

  async #roomIn(stream: SpdyStream): Promise<void> {
    while (
      !stream.destroyed &&
      !this.#closed.signal.aborted &&
      stream.readableLength >= stream.readableHighWaterMark
    ) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  async #takeControl(head: FrameHead & { isControl: true }, payload: Buffer): Promise<void> {
    switch (head.type) {
      case frameTypes.synStream: {
        const streamId = payload.readUInt32BE(0) & 0x7fff_ffff;
        const headers = await this.#headers.read(payload.subarray(10));
        this.#open(streamId, headers, (head.flags & finFlag) !== 0);
        return;
      }
      case frameTypes.headers:
      case frameTypes.synReply:
        await this.#headers.read(payload.subarray(4));
        return;
      case frameTypes.rstStream:
        this.#streams.get(payload.readUInt32BE(0) & 0x7fff_ffff)?.receiveReset();
        return;
      case frameTypes.ping:
        this.#write(controlFrame(frameTypes.ping, uint32s(payload.readUInt32BE(0))));
        return;
      default:
        // Settings, window updates, going away: nothing to do here.
        return;
    }
  }

  #open(streamId: number, headers: ReadonlyMap<string, string>, hasEnded: boolean): void {
    if (streamId % 2 === 0 || streamId <= this.#newest)
      throw new RangeError('a SPDY stream with a wrong number');
    this.#newest = streamId;
    if (this.#streams.size >= mostStreams) {
      this.#reset(streamId, resetStatus.refusedStream);
      return;
    }
    this.#write(
      controlFrame(
        frameTypes.synReply,
        Buffer.concat([uint32s(streamId), emptyHeaderBlock(!this.#hasReplied)]),
      ),
    );
    this.#hasReplied = true;
    const stream = new SpdyStream(headers, {
      send: (bytes, isLast, callback) => this.#sendData(streamId, { bytes, isLast }, callback),
      reset: () => this.#reset(streamId, resetStatus.cancel),
      forget: () => this.#streams.delete(streamId),
      wake: () => this.#wake(),
    });
    // A stream that breaks off is seen by its user as closed; nobody else has to know.
    stream.on('error', () => undefined);
    this.#streams.set(streamId, stream);
    if (hasEnded) stream.receiveEnd();
    this.#onStream(stream);
  }

  #sendData(
    streamId: number,
    { bytes, isLast }: { bytes: Buffer; isLast: boolean },
    callback: (error?: Error | null) => void,
  ): void {
    if (!this.#socket.writable) {
      callback(new Error('the connection is closed'));
      return;
    }
    const head = dataFrameHead(streamId, bytes.length, isLast ? finFlag : 0);
    this.#socket.write(bytes.length === 0 ? head : Buffer.concat([head, bytes]), callback);
  }

  #reset(streamId: number, status: number): void {
    this.#write(controlFrame(frameTypes.rstStream, uint32s(streamId, status)));
  }

  #write(frame: Buffer): void {
    if (this.#socket.writable && !this.#closed.signal.aborted) this.#socket.write(frame);
  }
}
