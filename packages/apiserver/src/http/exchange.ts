import type { IncomingHttpHeaders } from 'node:http';
import type { Readable, Writable } from 'node:stream';

/** What is used of a request, over HTTP/1.1 (`IncomingMessage`) and HTTP/2 (`Http2ServerRequest`) alike. */
export interface ApiRequest extends Readable {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** Name, value, name, … as they came. */
  readonly rawHeaders: readonly string[];
  /** `1.1` or `2.0`. */
  readonly httpVersion: string;
  readonly httpVersionMajor: number;
  /** Ends the stream of HTTP/2 with this code. */
  close?(code: number): void;
  /** Of the connection. */
  readonly socket?: { readonly remoteAddress?: string | undefined } | undefined;
}

/** What is used of a response, `ServerResponse` and `Http2ServerResponse` alike. */
export interface ApiResponse extends Writable {
  statusCode: number;
  readonly headersSent: boolean;
  setHeader(name: string, value: number | string | readonly string[]): unknown;
  getHeader(name: string): number | string | string[] | undefined;
  writeHead(status: number): unknown;
  /** HTTP/2 sends the head with `writeHead`. */
  flushHeaders?(): void;
}
