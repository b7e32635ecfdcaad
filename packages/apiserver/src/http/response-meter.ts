import { gzip } from 'node:zlib';
import type { ApiRequest, ApiResponse } from './exchange.ts';

/** As kube-apiserver: smaller answers are not worth the time. */
const minCompressedBytes = 128 * 1024;

/**
 * Stands before a response: counts what is written, and compresses a big answer that is written in one piece for a
 * client that accepts gzip. Streams (watches, backups) go through as they are.
 */
export class ResponseMeter {
  readonly #req: ApiRequest;
  readonly #res: ApiResponse;
  readonly #write: ApiResponse['write'];
  readonly #end: ApiResponse['end'];
  readonly #writeHead: ApiResponse['writeHead'];
  #status: number | undefined;
  #isCompressing = false;
  #isEnding = false;
  #bytes = 0;
  /** Sees all that is written, uncompressed. */
  onChunk: ((chunk: Buffer) => void) | undefined;
  /** The head goes out. */
  onHead: ((status: number) => void) | undefined;
  /** The client takes less than is written. */
  onFull: (() => void) | undefined;

  constructor(req: ApiRequest, res: ApiResponse) {
    this.#req = req;
    this.#res = res;
    this.#write = res.write.bind(res);
    this.#end = res.end.bind(res);
    this.#writeHead = res.writeHead.bind(res);
    const flushHeaders = res.flushHeaders?.bind(res);
    res.writeHead = (status) => {
      this.#status = status;
      res.statusCode = status;
      return res;
    };
    res.flushHeaders = () => {
      this.#sendHead();
      flushHeaders?.();
    };
    res.write = ((...args: Parameters<ApiResponse['write']>) => {
      // `end` of HTTP/2 writes through here again.
      if (this.#isEnding) return this.#write(...args);
      this.#sendHead();
      this.#count(args[0]);
      const isTaken = this.#write(...args);
      if (!isTaken) this.onFull?.();
      return isTaken;
    }) as ApiResponse['write'];
    res.end = ((...args: Parameters<ApiResponse['end']>) => this.#finish(args)) as ApiResponse['end'];
  }

  /** Written so far, before compression. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Written and not yet taken by the client. */
  get waitingBytes(): number {
    return this.#isCompressing ? this.#bytes : (this.#res.writableLength ?? 0);
  }

  #finish(args: Parameters<ApiResponse['end']>): ApiResponse {
    const [body] = args as unknown[];
    if (Buffer.isBuffer(body)) {
      this.#count(body);
      if (body.length >= minCompressedBytes && this.#mayCompress()) {
        this.#compress(body);
        return this.#res;
      }
    } else if (typeof body === 'string') this.#count(body);
    this.#sendHead();
    this.#isEnding = true;
    this.#end(...args);
    return this.#res;
  }

  #mayCompress(): boolean {
    const res = this.#res;
    return (
      !this.#isCompressing &&
      !res.headersSent &&
      this.#req.method !== 'HEAD' &&
      acceptsGzip(this.#req.headers['accept-encoding']) &&
      res.getHeader('Content-Encoding') === undefined
    );
  }

  #compress(body: Buffer): void {
    const res = this.#res;
    this.#isCompressing = true;
    // Level 1, as kube-apiserver; in a thread of Node's, not on the event loop.
    gzip(body, { level: 1 }, (error, compressed) => {
      this.#isCompressing = false;
      if (res.destroyed) return;
      if (error) {
        res.destroy();
        return;
      }
      res.setHeader('Content-Encoding', 'gzip');
      const vary = res.getHeader('Vary');
      res.setHeader('Vary', vary === undefined ? 'Accept-Encoding' : `${String(vary)}, Accept-Encoding`);
      res.setHeader('Content-Length', compressed.length);
      this.#sendHead();
      this.#isEnding = true;
      this.#end(compressed);
    });
  }

  #sendHead(): void {
    if (this.#res.headersSent) return;
    const status = this.#status ?? this.#res.statusCode;
    this.#status = undefined;
    this.#writeHead(status);
    this.onHead?.(status);
  }

  #count(chunk: unknown): void {
    if (typeof chunk === 'string') {
      this.#bytes += Buffer.byteLength(chunk);
      this.onChunk?.(Buffer.from(chunk));
    } else if (chunk instanceof Uint8Array) {
      this.#bytes += chunk.byteLength;
      this.onChunk?.(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    }
  }
}

/** RFC 9110 §12.5.3, as far as it matters: gzip is named, or everything, and not refused with `q=0`. */
export function acceptsGzip(header: string | string[] | undefined): boolean {
  return String(header ?? '')
    .split(',')
    .some((part) => /^\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*$)[\d.]+\s*)?$/i.test(part));
}
