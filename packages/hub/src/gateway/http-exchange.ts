import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ApiRequest, ApiResponse } from '@selvedge/apiserver';
import { type Clock, hubTimeHeader, isStatusError, type Logger, StatusError } from '@selvedge/api';

export type HttpRequest = ApiRequest;
export type HttpResponse = ApiResponse;

export interface Answer {
  readonly code: number;
  readonly headers?: Readonly<Record<string, string | number>>;
  /** Sent as it is when bytes, else as JSON; absent: no body. */
  readonly body?: unknown;
  /** The connection ends with this answer, where the protocol can say so. */
  readonly isLast?: boolean;
}

/** Paths below it are secrets. */
export const installPrefix = '/enroll/';

/** The body did not come within this time. */
const bodyDeadlineSeconds = 120;

/** One request on its way through the gateway: every answer goes out here, so every answer tells the hub's time. */
export class HttpExchange {
  readonly request: HttpRequest;
  readonly method: string;
  readonly path: string;
  /** The path as it may stand in logs and messages. */
  readonly shownPath: string;
  /** Fires when the other side is gone. */
  readonly gone: AbortSignal;
  /** For what is not answered as a whole. */
  readonly response: HttpResponse;
  readonly #clock: Clock;
  readonly #log: Logger;

  constructor(request: HttpRequest, response: HttpResponse, context: { clock: Clock; logger: Logger }) {
    this.request = request;
    this.response = response;
    this.#clock = context.clock;
    this.#log = context.logger;
    this.method = request.method ?? 'GET';
    this.path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    this.shownPath = this.path.startsWith(installPrefix) ? `${installPrefix}…` : this.path;
    const gone = new AbortController();
    this.gone = gone.signal;
    // With a reason: without one each abort makes a DOMException with its stack, for every request that ends.
    const onClose = () => gone.abort('closed');
    const onError = () => gone.abort('failed');
    // The two libraries' methods have the same meaning but no common signature.
    (response as ServerResponse).once('close', onClose);
    (response as ServerResponse).on('error', onError);
    (request as IncomingMessage).on('error', onError);
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  answer({ code, headers = {}, body, isLast }: Answer): void {
    if (this.gone.aborted || this.response.headersSent) return;
    const isBytes = body instanceof Uint8Array;
    const bytes = body === undefined ? undefined : isBytes ? body : Buffer.from(JSON.stringify(body));
    const all: Record<string, string | number> = {
      [hubTimeHeader]: this.#clock.now().toISOString(),
      'cache-control': 'no-store',
      ...(bytes === undefined
        ? {}
        : {
            'content-type': isBytes ? 'application/octet-stream' : 'application/json',
            'content-length': bytes.length,
          }),
      ...(isLast === true && this.request.httpVersionMajor === 1 ? { connection: 'close' } : {}),
      ...headers,
    };
    const response = this.response as ServerResponse;
    response.writeHead(code, all);
    if (bytes === undefined || this.method === 'HEAD') response.end();
    else response.end(bytes);
  }

  /** Answers with a Status body. What is not a StatusError is our fault: logged, and not shown. */
  refuse(error: unknown): void {
    if (this.gone.aborted) return;
    let status: StatusError;
    if (isStatusError(error)) {
      status = error;
      const { reason, message } = error;
      this.#log.debug('request refused', { method: this.method, path: this.shownPath, reason, message });
    } else {
      this.#log.error('request failed', { method: this.method, path: this.shownPath, error });
      status = new StatusError('InternalError', 'the hub could not handle the request: see its log');
    }
    const retryAfter = status.details.retryAfterSeconds;
    this.answer({
      code: status.code,
      headers: {
        ...(status.reason === 'Unauthorized' ? { 'www-authenticate': 'Bearer' } : {}),
        ...(retryAfter === undefined ? {} : { 'retry-after': Math.max(1, Math.ceil(retryAfter)) }),
      },
      body: status.toBody(),
      // The rest of a body that is too large is not waited for.
      isLast: status.reason === 'RequestEntityTooLarge',
    });
  }

  /** The whole body; throws RequestEntityTooLarge beyond the limit, Timeout when it trickles. */
  async readBody(limitBytes: number, deadlineSeconds = bodyDeadlineSeconds): Promise<Buffer> {
    if (Number(this.header('content-length') ?? 0) > limitBytes) throw tooLarge(limitBytes);
    const done = new AbortController();
    const deadline = this.#clock.sleep(deadlineSeconds * 1000, done.signal).then(() => 'late' as const);
    try {
      const body = await Promise.race([collect(this.request, limitBytes), deadline]);
      if (body !== 'late') return body;
      throw new StatusError('Timeout', `the body of the request did not come within ${deadlineSeconds} s`);
    } finally {
      done.abort('read');
    }
  }
}

async function collect(request: HttpRequest, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Not `for await`: leaving that loop early would destroy the request, and with it the answer.
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stream = request as IncomingMessage;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= limitBytes) chunks.push(chunk);
    else reject(tooLarge(limitBytes));
  });
  stream.once('end', resolve);
  stream.once('close', () => {
    if (stream.readableEnded) return;
    reject(new StatusError('BadRequest', 'the request ended before its body did'));
  });
  await promise;
  return Buffer.concat(chunks);
}

function tooLarge(limitBytes: number): StatusError {
  return new StatusError(
    'RequestEntityTooLarge',
    `the body of the request is larger than ${limitBytes} bytes: send fewer reports at once`,
  );
}

/** Parses JSON; throws BadRequest. */
export function parseJsonBody(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new StatusError('BadRequest', 'the body of the request is not JSON', { cause: error });
  }
}
