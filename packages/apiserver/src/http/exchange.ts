import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';

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
  /** Present when the client wants to go on in another protocol (HTTP/1.1 `Upgrade`). The body of such a request is not read. */
  readonly upgradeTo?: UpgradeOffer;
  /** Of the connection. */
  readonly socket?: { readonly remoteAddress?: string | undefined } | undefined;
}

/**
 * A connection that can change its protocol after this request (RFC 9110 §7.8). An answer through the response refuses,
 * and the connection ends with it; who accepts answers 101 and takes over the socket.
 */
export interface UpgradeOffer {
  /** The header `Upgrade`, as it was sent. */
  readonly protocol: string;
  /** What the client sent already behind its request. */
  readonly head: Buffer;
  /** The connection itself. After a 101 by `accept` its bytes are those of the new protocol. */
  readonly socket: Duplex;
  /** Gives the socket away to somebody who writes the 101 himself: nothing can be answered any more. */
  detach(): void;
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
