import { StatusError, statusErrorFromBody } from '@selvedge/api';
import { Agent, type Dispatcher, request as undiciRequest } from 'undici';
import { connectionError, isBrokenConnection } from './connection-error.ts';

export interface HttpConnectionOptions {
  /** `https://host:port`. */
  readonly server: string;
  /** Authority that signed the server's certificate, PEM; absent: those of the system. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
  readonly tlsServerName?: string;
  readonly insecureSkipTlsVerify?: boolean;
}

type Query = Readonly<Record<string, string | undefined>>;

/** One server, one pool of connections. Throws StatusError only. */
export interface HttpConnection {
  readonly server: string;
  json(request: {
    method: Dispatcher.HttpMethod;
    path: string;
    query?: Query;
    body?: unknown;
    contentType?: string;
    accept?: string;
  }): Promise<unknown>;
  /** Body of an answer as it comes; ends quietly when the signal fires. */
  stream(request: {
    method?: 'GET' | 'POST';
    path: string;
    query: Query;
    body?: unknown;
    accept?: string;
    /** Longest silence before the connection counts as dead. */
    idleMilliseconds: number;
    signal: AbortSignal;
  }): AsyncGenerator<Uint8Array>;
  close(): Promise<void>;
}

const answerMilliseconds = 60_000;
const connectMilliseconds = 10_000;

export function createConnection(options: HttpConnectionOptions): HttpConnection {
  return new UndiciConnection(options);
}

class UndiciConnection implements HttpConnection {
  readonly server: string;
  readonly #agent: Agent;
  readonly #headers: Record<string, string>;

  constructor(options: HttpConnectionOptions) {
    this.server = options.server.replace(/\/+$/, '');
    this.#agent = new Agent({
      // HTTP/1.1: half the server's work per request (reference/stack.md), and a watch that stalls stalls alone.
      allowH2: false,
      headersTimeout: answerMilliseconds,
      bodyTimeout: answerMilliseconds,
      connect: {
        timeout: connectMilliseconds,
        // As Go does: whatever the kubeconfig names is trusted, be it the server's own certificate.
        ...(options.ca === undefined ? {} : { ca: options.ca, allowPartialTrustChain: true }),
        ...(options.cert === undefined ? {} : { cert: options.cert }),
        ...(options.key === undefined ? {} : { key: options.key }),
        ...(options.tlsServerName === undefined ? {} : { servername: options.tlsServerName }),
        rejectUnauthorized: options.insecureSkipTlsVerify !== true,
      },
    });
    this.#headers = {
      accept: 'application/json',
      'user-agent': 'selvedge',
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    };
  }

  async json(request: Parameters<HttpConnection['json']>[0]): Promise<unknown> {
    const hasBody = request.body !== undefined;
    const answer = await this.#send(request.path, request.query, {
      method: request.method,
      ...(hasBody ? { body: JSON.stringify(request.body) } : {}),
      headers: {
        ...this.#headers,
        ...(request.accept === undefined ? {} : { accept: request.accept }),
        ...(hasBody ? { 'content-type': request.contentType ?? 'application/json' } : {}),
      },
    });
    const text = await this.#readText(answer.body);
    if (answer.statusCode >= 300) throw this.#failure(answer.statusCode, text);
    try {
      return JSON.parse(text) as unknown;
    } catch (cause) {
      throw new StatusError(
        'InternalError',
        `${this.server} answered ${answer.statusCode} with something that is not JSON; check that the address is of an API server`,
        { cause },
      );
    }
  }

  async *stream(request: Parameters<HttpConnection['stream']>[0]): AsyncGenerator<Uint8Array> {
    if (request.signal.aborted) return;
    let body: Dispatcher.ResponseData['body'] | undefined;
    try {
      const answer = await this.#send(request.path, request.query, {
        method: request.method ?? 'GET',
        headers: {
          ...this.#headers,
          ...(request.accept === undefined ? {} : { accept: request.accept }),
          ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
        bodyTimeout: request.idleMilliseconds,
        signal: request.signal,
      });
      body = answer.body;
      // Destroyed below while nobody reads: its error has no other listener then.
      body.on('error', () => undefined);
      if (answer.statusCode >= 300) throw this.#failure(answer.statusCode, await this.#readText(body));
      for await (const chunk of body) yield chunk as Uint8Array;
    } catch (error) {
      if (request.signal.aborted) return;
      throw error instanceof StatusError ? error : connectionError(this.server, error);
    } finally {
      body?.destroy();
    }
  }

  async #send(
    path: string,
    query: Query | undefined,
    options: Omit<Dispatcher.RequestOptions, 'origin' | 'path' | 'signal'> & {
      bodyTimeout?: number;
      signal?: AbortSignal;
    },
  ): Promise<Dispatcher.ResponseData> {
    const url = `${this.server}${path}${queryText(query)}`;
    for (let attempt = 1; ; attempt++) {
      try {
        return await undiciRequest(url, { ...options, dispatcher: this.#agent });
      } catch (error) {
        if (options.signal?.aborted) throw error;
        // The server may have closed an idle connection just now; reading twice does no harm.
        if (attempt === 1 && options.method === 'GET' && isBrokenConnection(error)) continue;
        throw connectionError(this.server, error);
      }
    }
  }

  async #readText(body: Dispatcher.ResponseData['body']): Promise<string> {
    try {
      return await body.text();
    } catch (error) {
      throw connectionError(this.server, error);
    }
  }

  #failure(httpCode: number, text: string): StatusError {
    let body: unknown;
    try {
      body = JSON.parse(text);
    } catch {
      // Not a Status: some proxy speaks, its page is of no use.
      body = undefined;
    }
    const error = statusErrorFromBody(body, httpCode);
    if (body !== undefined || ![502, 503, 504].includes(httpCode)) return error;
    return new StatusError(
      'ServiceUnavailable',
      `${this.server} answered ${httpCode} without a Status: a proxy on the way cannot reach the API server; check that it runs`,
    );
  }

  close(): Promise<void> {
    return this.#agent.close();
  }
}

function queryText(query: Query | undefined): string {
  const set = Object.entries(query ?? {}).filter((e): e is [string, string] => e[1] !== undefined);
  return set.length === 0 ? '' : `?${new URLSearchParams(set).toString()}`;
}
