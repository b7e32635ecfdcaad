import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ApiRequest, ApiResponse } from '@selvedge/apiserver';
import { DistributionError } from '../distribution-error.ts';

export interface RegistryAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  /** Sent as it is when bytes, else as JSON. A stream is sent with the `content-length` of `headers`. */
  readonly body?: unknown;
}

/** Longest wait for the next bytes of a body. */
const silenceMilliseconds = 60_000;
const hostPattern = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?$/;

/** One request to the registry on its way to its answer. */
export class RegistryExchange {
  readonly request: ApiRequest;
  readonly response: ApiResponse;
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Fires when the other side is gone. */
  readonly gone: AbortSignal;
  /** Bytes of bodies that came, and went. */
  readonly bytes = { received: 0, sent: 0 };
  #status = 0;

  constructor(request: ApiRequest, response: ApiResponse) {
    this.request = request;
    this.response = response;
    this.method = request.method ?? 'GET';
    const [path, query] = splitOnce(request.url ?? '/', '?');
    this.path = path;
    this.query = new URLSearchParams(query);
    const gone = new AbortController();
    this.gone = gone.signal;
    const onGone = () => gone.abort('closed');
    (response as ServerResponse).once('close', onGone);
    (response as ServerResponse).on('error', onGone);
    (request as IncomingMessage).on('error', onGone);
  }

  /** Of the answer; 0 before there is one. */
  get status(): number {
    return this.#status;
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** `host[:port]` by which the client knows this hub. Throws DistributionError. */
  host(): string {
    const host = this.header(':authority') ?? this.header('host') ?? '';
    if (hostPattern.test(host)) return host;
    throw new DistributionError('UNSUPPORTED', 'the request does not say which host it is for');
  }

  answer({ status, headers = {}, body }: RegistryAnswer): void {
    if (this.gone.aborted || this.response.headersSent) return;
    const isBytes = body instanceof Uint8Array;
    const bytes = body === undefined ? undefined : isBytes ? body : Buffer.from(JSON.stringify(body));
    this.#status = status;
    this.#head(status, {
      ...(bytes === undefined || isBytes ? {} : { 'content-type': 'application/json' }),
      ...(bytes === undefined ? {} : { 'content-length': bytes.length }),
      ...headers,
    });
    if (bytes === undefined || this.method === 'HEAD') {
      this.response.end();
      return;
    }
    this.bytes.sent += bytes.length;
    this.response.end(bytes);
  }

  /** Sends bytes as they come. A fault in mid-way can only cut the answer off. */
  async stream(answer: RegistryAnswer & { readonly body: Readable }): Promise<void> {
    const { status, headers = {}, body } = answer;
    if (this.gone.aborted || this.method === 'HEAD') {
      body.destroy();
      this.answer({ status, headers });
      return;
    }
    this.#status = status;
    this.#head(status, headers);
    body.on('data', (chunk: Buffer) => {
      this.bytes.sent += chunk.length;
    });
    await pipeline(body, this.response as ServerResponse);
  }

  /**
   * The body as it comes. Whoever stops reading does not end the request with it, so that it can be answered. Ends quietly when the client
   * is gone; throws when nothing comes for a minute.
   */
  async *body(): AsyncGenerator<Uint8Array> {
    const stream = this.request as IncomingMessage;
    const timer = setIdleTimer(silenceMilliseconds, () => {
      stream.destroy(new DistributionError('BLOB_UPLOAD_INVALID', 'nothing came for a minute'));
    });
    try {
      for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        timer.restart();
        this.bytes.received += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (error instanceof DistributionError) throw error;
      // Cut off: what came is whole as far as it goes, and the client may go on behind it.
      if (!this.gone.aborted && !stream.destroyed) throw error;
    } finally {
      timer.stop();
    }
  }

  /** The whole of a small body. Throws DistributionError beyond the limit. */
  async smallBody(maxBytes: number): Promise<Buffer> {
    const tooLarge = () => new DistributionError('SIZE_INVALID', `the body has more than ${maxBytes} bytes`);
    if (Number(this.header('content-length') ?? 0) > maxBytes) throw tooLarge();
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.body()) {
      size += chunk.length;
      if (size > maxBytes) throw tooLarge();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  #head(status: number, headers: Readonly<Record<string, string | number>>): void {
    this.response.setHeader('docker-distribution-api-version', 'registry/2.0');
    this.response.setHeader('x-content-type-options', 'nosniff');
    for (const [name, value] of Object.entries(headers)) this.response.setHeader(name, value);
    this.response.writeHead(status);
  }
}

function setIdleTimer(milliseconds: number, onIdle: () => void): { restart(): void; stop(): void } {
  let signal = AbortSignal.timeout(milliseconds);
  signal.addEventListener('abort', onIdle);
  let since = performance.now();
  const stop = () => signal.removeEventListener('abort', onIdle);
  return {
    stop,
    restart: () => {
      // A new timer for each chunk would cost more than the chunk.
      if (performance.now() - since < milliseconds / 4) return;
      stop();
      since = performance.now();
      signal = AbortSignal.timeout(milliseconds);
      signal.addEventListener('abort', onIdle);
    },
  };
}

function splitOnce(text: string, at: string): [string, string] {
  const place = text.indexOf(at);
  return place === -1 ? [text, ''] : [text.slice(0, place), text.slice(place + 1)];
}
