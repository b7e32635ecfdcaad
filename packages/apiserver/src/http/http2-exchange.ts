import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { ApiRequest, ApiResponse } from './exchange.ts';

/*
 * Node's own requests and responses over HTTP/2 are two more streams in front of each HTTP/2 stream: a third of what a
 * small request costs. Ours are the stream itself, and a thin object before it.
 */

/** The stream, with what a request over HTTP/1.1 knows of its head. */
export function http2Request(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
): ApiRequest {
  // Whoever cares hears of it too; nobody has to.
  stream.on('error', ignore);
  return Object.assign(stream, {
    method: String(headers[constants.HTTP2_HEADER_METHOD]),
    url: String(headers[constants.HTTP2_HEADER_PATH] ?? '/'),
    headers,
    rawHeaders,
    httpVersion: '2.0',
    httpVersionMajor: 2,
    socket: addressOf(stream.session),
  });
}

function ignore(): void {}

/** A session's socket is a proxy, slow to ask. */
const addresses = new WeakMap<ServerHttp2Session, { readonly remoteAddress: string | undefined }>();

function addressOf(session: ServerHttp2Stream['session']): { readonly remoteAddress: string | undefined } {
  const known = session && addresses.get(session as ServerHttp2Session);
  if (known || !session) return known ?? { remoteAddress: undefined };
  const address = { remoteAddress: session.socket.remoteAddress };
  addresses.set(session as ServerHttp2Session, address);
  return address;
}

/** What `ApiResponse` promises, over an HTTP/2 stream. */
export function http2Response(stream: ServerHttp2Stream, method: string): ApiResponse {
  return new Http2Response(stream, method) as unknown as ApiResponse;
}

type Written = (error?: Error | null) => void;
type Listener = (...args: unknown[]) => void;

const withoutBody = new Set([204, 205, 304]);

class Http2Response {
  readonly #stream: ServerHttp2Stream;
  readonly #isHead: boolean;
  readonly #headers: OutgoingHttpHeaders = {};
  #hasBody = true;
  #isEnded = false;
  statusCode = 200;

  constructor(stream: ServerHttp2Stream, method: string) {
    this.#stream = stream;
    this.#isHead = method === 'HEAD';
  }

  get headersSent(): boolean {
    return this.#stream.headersSent;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed;
  }

  get writable(): boolean {
    return this.#stream.writable;
  }

  get writableEnded(): boolean {
    return this.#isEnded;
  }

  get writableFinished(): boolean {
    return this.#stream.writableFinished;
  }

  get writableLength(): number {
    return this.#stream.writableLength;
  }

  get writableNeedDrain(): boolean {
    return this.#stream.writableNeedDrain;
  }

  setHeader(name: string, value: number | string | readonly string[]): this {
    this.#headers[name.toLowerCase()] = value as OutgoingHttpHeaders[string];
    return this;
  }

  getHeader(name: string): OutgoingHttpHeaders[string] {
    return this.#headers[name.toLowerCase()];
  }

  removeHeader(name: string): void {
    delete this.#headers[name.toLowerCase()];
  }

  writeHead(status: number, headers: OutgoingHttpHeaders = {}): this {
    const stream = this.#stream;
    if (stream.destroyed || stream.headersSent) return this;
    this.statusCode = status;
    for (const [name, value] of Object.entries(headers)) this.#headers[name.toLowerCase()] = value;
    this.#headers[constants.HTTP2_HEADER_STATUS] = status;
    // Such an answer ends with its head; Node then ends the stream by itself.
    this.#hasBody = !this.#isHead && !withoutBody.has(status);
    stream.respond(this.#headers);
    return this;
  }

  flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode);
  }

  write(
    ...[chunk, second, third]: [chunk: Buffer | string, second?: BufferEncoding | Written, third?: Written]
  ): boolean {
    const [encoding, written] = typeof second === 'function' ? [undefined, second] : [second, third];
    this.flushHeaders();
    if (!this.#hasBody) {
      if (written) process.nextTick(written);
      return true;
    }
    return encoding === undefined
      ? this.#stream.write(chunk, written)
      : this.#stream.write(chunk, encoding, written);
  }

  end(
    ...[chunk, second, third]: [
      chunk?: Buffer | string | Written,
      second?: BufferEncoding | Written,
      third?: Written,
    ]
  ): this {
    if (this.#isEnded) return this;
    this.flushHeaders();
    this.#isEnded = true;
    const callback = [chunk, second, third].find((argument) => typeof argument === 'function') as
      | Written
      | undefined;
    if (!this.#hasBody || chunk === undefined || typeof chunk === 'function') {
      if (!this.#hasBody && callback) process.nextTick(callback);
      else this.#stream.end(callback);
    } else if (typeof second === 'string') this.#stream.end(chunk, second, callback);
    else this.#stream.end(chunk, callback);
    return this;
  }

  destroy(error?: Error): this {
    this.#stream.destroy(error);
    return this;
  }

  on(event: string, listener: Listener): this {
    this.#stream.on(event, listener);
    return this;
  }

  once(event: string, listener: Listener): this {
    this.#stream.once(event, listener);
    return this;
  }

  off(event: string, listener: Listener): this {
    this.#stream.off(event, listener);
    return this;
  }

  addListener(event: string, listener: Listener): this {
    return this.on(event, listener);
  }

  removeListener(event: string, listener: Listener): this {
    return this.off(event, listener);
  }

  emit(event: string, ...args: unknown[]): boolean {
    return this.#stream.emit(event, ...args);
  }

  listenerCount(event: string): number {
    return this.#stream.listenerCount(event);
  }
}
