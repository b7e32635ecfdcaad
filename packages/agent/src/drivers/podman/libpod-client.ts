import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { StringDecoder } from 'node:string_decoder';

/** Podman answered with an error, or did not answer (`code` 0). The message is Podman's own and never quotes a request body. */
export class LibpodError extends Error {
  override readonly name = 'LibpodError';
  /** HTTP status, 0 when there was no answer. */
  readonly code: number;

  constructor(code: number, message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

export const isMissing = (error: unknown): boolean => error instanceof LibpodError && error.code === 404;
export const isUnreachable = (error: unknown): boolean => error instanceof LibpodError && error.code === 0;
export const isDiskFull = (error: unknown): boolean =>
  error instanceof Error && /no space left on device|ENOSPC|disk quota exceeded/i.test(error.message);

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface LibpodCall {
  readonly method?: 'GET' | 'POST' | 'DELETE' | 'HEAD';
  /** Below the version: `/containers/json`. */
  readonly path: string;
  readonly query?: Query;
  /** Sent as JSON; a Buffer as it is. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** No answer after this long: LibpodError with code 0. Default one minute; 0: no limit. */
  readonly timeoutMilliseconds?: number;
  readonly signal?: AbortSignal;
}

/** libpod's REST API over its unix socket. Knows no endpoint; callers name them. */
export class LibpodClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** Parsed JSON answer, undefined when the answer is empty. Throws LibpodError. */
  async call<T = unknown>(call: LibpodCall): Promise<T> {
    const text = (await this.bytes(call)).toString('utf8');
    return (text === '' ? undefined : parse(text)) as T;
  }

  /** Like `call`; undefined for 404. */
  async find<T = unknown>(call: LibpodCall): Promise<T | undefined> {
    try {
      return await this.call<T>(call);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  /** Raw answer. */
  async bytes(call: LibpodCall): Promise<Buffer> {
    return await readAll(await this.#send(call));
  }

  /** The answer as it comes; the caller reads or destroys it. Throws LibpodError. */
  async open(call: LibpodCall): Promise<IncomingMessage> {
    return await this.#send({ timeoutMilliseconds: 0, ...call });
  }

  /** Turns the connection of a POST into the bytes of a program (exec, attach). Throws LibpodError. */
  hijack(call: LibpodCall): Promise<Socket> {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const req = this.#request({ ...call, method: 'POST', timeoutMilliseconds: 0 }, [
      ['connection', 'Upgrade'],
      ['upgrade', 'tcp'],
    ]);
    req.on('error', (error) => reject(this.#unreachable(error)));
    req.on('upgrade', (_res, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve(socket as Socket);
    });
    req.on('response', (res) => void rejectWithAnswer(res, reject));
    req.end(bodyOf(call));
    return promise;
  }

  /** JSON values of a streamed answer, as they come; ends with the stream or the signal. */
  async *stream<T>(call: LibpodCall): AsyncGenerator<T> {
    const res = await this.#send({ timeoutMilliseconds: 0, ...call });
    const decoder = new StringDecoder('utf8');
    let rest = '';
    try {
      for await (const chunk of res) {
        const lines = (rest + decoder.write(chunk as Buffer)).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.trim() !== '') yield parse(line) as T;
      }
      if (rest.trim() !== '') yield parse(rest) as T;
    } catch (error) {
      if (!call.signal?.aborted) throw new LibpodError(0, 'the stream from Podman broke off', error);
    } finally {
      res.destroy();
    }
  }

  #send(call: LibpodCall): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const req = this.#request(call);
    req.on('timeout', () => req.destroy(new Error('no answer in time')));
    req.on('error', (error) => reject(this.#unreachable(error)));
    req.on('response', (res) => {
      if ((res.statusCode ?? 500) < 400) resolve(res);
      else void rejectWithAnswer(res, reject);
    });
    req.end(bodyOf(call));
    return promise;
  }

  #request(call: LibpodCall, upgrade: readonly (readonly [string, string])[] = []): ClientRequest {
    const contentType = Buffer.isBuffer(call.body) ? 'application/octet-stream' : 'application/json';
    return request({
      socketPath: this.#socketPath,
      method: call.method ?? 'GET',
      path: `/v4.0.0/libpod${call.path}${queryString(call.query)}`,
      agent: false,
      timeout: call.timeoutMilliseconds ?? 60_000,
      ...(call.signal ? { signal: call.signal } : {}),
      headers: {
        ...(call.body === undefined ? {} : { 'content-type': contentType }),
        ...Object.fromEntries(upgrade),
        ...call.headers,
      },
    });
  }

  #unreachable(error: Error): LibpodError {
    return new LibpodError(0, `Podman cannot be reached at ${this.#socketPath}: ${error.message}`, error);
  }
}

const bodyOf = ({ body }: LibpodCall): Buffer | string | undefined =>
  body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body);

async function rejectWithAnswer(res: IncomingMessage, reject: (error: unknown) => void): Promise<void> {
  try {
    const text = (await readAll(res)).toString('utf8');
    const message = (parse(text) as { message?: string } | undefined)?.message ?? text.slice(0, 500);
    reject(new LibpodError(res.statusCode ?? 500, message === '' ? `HTTP ${res.statusCode}` : message));
  } catch (error) {
    reject(error);
  }
}

async function readAll(res: IncomingMessage): Promise<Buffer> {
  try {
    return Buffer.concat((await res.toArray()) as Buffer[]);
  } catch (error) {
    throw new LibpodError(0, 'the answer from Podman broke off', error);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function queryString(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}
