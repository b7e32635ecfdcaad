import type { IncomingMessage, ServerResponse } from 'node:http';

/** Ends a request with a status that a shell understands without reading further. */
export class HttpRefusal extends Error {
  override readonly name = 'HttpRefusal';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** One request and its answer. */
export interface Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly url: URL;
  /** Of the box, in its shortest form: `10.10.0.101`. */
  readonly address: string;
  /** Where this box reaches the rack: `http://10.10.0.1:5248`. */
  readonly rackUrl: string;
  /** Fires when the box hangs up or the server closes. */
  readonly signal: AbortSignal;
}

export function sendText(res: ServerResponse, code: number, text: string): void {
  const body = Buffer.from(text, 'utf8');
  res.writeHead(code, { 'content-type': 'text/plain; charset=utf-8', 'content-length': body.length });
  res.end(res.req.method === 'HEAD' ? undefined : body);
}

export function sendBytes(res: ServerResponse, bytes: Uint8Array): void {
  res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes.byteLength });
  res.end(res.req.method === 'HEAD' ? undefined : bytes);
}

export function sendNothing(res: ServerResponse): void {
  res.writeHead(204);
  res.end();
}
