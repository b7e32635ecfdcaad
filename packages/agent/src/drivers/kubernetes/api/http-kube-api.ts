import type { IncomingMessage } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { type Clock, type KubeObject, type Logger, StatusError, statusErrorFromBody } from '@selvedge/api';
import type { KubeAccess } from '@selvedge/kube';
import type { ApiRequest, ApiResource, KubeApi } from './kube-api.ts';
import { ApiUnreachable, KubeConnection } from './kube-connection.ts';
import { ResourceCatalogue } from './resource-catalogue.ts';

export interface KubeApiOptions {
  readonly access: KubeAccess;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Silence within one answer. */
const idleMs = 30_000;
/** Requests of one call, the first included. */
const longestTries = 4;
const firstPauseMs = 300;
/** A Retry-After that asks for more is left to the caller, who has better things to do meanwhile. */
const longestPauseMs = 10_000;
/** A watch event holds one object, and no object is larger than etcd takes. */
const longestLine = 8 * 1024 * 1024;

/** The API of a cluster over HTTPS; see `KubeApi`. */
export function createKubeApi(options: KubeApiOptions): KubeApi {
  return new HttpKubeApi(options);
}

class HttpKubeApi implements KubeApi {
  readonly #access: KubeAccess;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #connection: KubeConnection;
  readonly #resources: ResourceCatalogue;

  constructor({ access, clock, logger }: KubeApiOptions) {
    this.#access = access;
    this.#clock = clock;
    this.#logger = logger;
    this.#connection = new KubeConnection(access);
    this.#resources = new ResourceCatalogue((path) => this.json({ method: 'GET', path }));
  }

  async json<T = KubeObject>(request: ApiRequest): Promise<T> {
    const answer = await this.#ask(request, idleMs);
    const text = await this.#connection.read(answer);
    try {
      return (text === '' ? undefined : JSON.parse(text)) as T;
    } catch {
      // A plain text answer (healthz), which is not what this is for.
      throw new StatusError('InternalError', `the cluster's API answered ${request.path} without JSON`);
    }
  }

  async *lines(
    request: ApiRequest & { readonly idleMs: number; readonly signal: AbortSignal },
  ): AsyncGenerator<string> {
    const { signal } = request;
    let answer: IncomingMessage | undefined;
    try {
      answer = await this.#ask(request, request.idleMs);
      yield* linesOf(answer);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof StatusError) throw error;
      throw new ApiUnreachable(error);
    } finally {
      answer?.destroy();
    }
  }

  findResource(
    apiVersion: string,
    kind: string,
    options: { refresh?: boolean } = {},
  ): Promise<ApiResource | undefined> {
    return this.#resources.find(apiVersion, kind, options.refresh === true);
  }

  version(): Promise<{ gitVersion: string; platform?: string }> {
    return this.json({ method: 'GET', path: '/version' });
  }

  close(): void {
    this.#connection.close();
  }

  /** Resolves with a good answer that has begun. */
  async #ask(request: ApiRequest, silenceMs: number): Promise<IncomingMessage> {
    let wasRefused = false;
    for (let tries = 1; ; tries++) {
      request.assertAllowed?.();
      let failure: Failure;
      try {
        const answer = await this.#connection.send(request, silenceMs);
        const code = answer.statusCode ?? 500;
        if (code < 300) return answer;
        failure = await this.#failureOf(answer, code);
      } catch (error) {
        if (!(error instanceof StatusError)) throw error;
        failure = { error, code: 0 };
      }
      if (failure.code === 401 && !wasRefused) {
        wasRefused = true;
        this.#access.refused();
        continue;
      }
      const pauseMs = pauseBefore(failure, request, tries);
      if (pauseMs === undefined || request.signal?.aborted) throw failure.error;
      this.#logger.debug('request to the cluster is tried again', {
        method: request.method,
        path: request.path,
        code: failure.code,
        pauseMs,
      });
      await this.#clock.sleep(pauseMs, request.signal);
      if (request.signal?.aborted) throw failure.error;
    }
  }

  async #failureOf(answer: IncomingMessage, code: number): Promise<Failure> {
    const text = await this.#connection.read(answer);
    const retryAfter = Number(answer.headers['retry-after']);
    const error = errorOf(text, code);
    return Number.isFinite(retryAfter) ? { error, code, retryAfterMs: retryAfter * 1000 } : { error, code };
  }
}

interface Failure {
  readonly error: StatusError;
  /** HTTP status; 0: there was no answer. */
  readonly code: number;
  readonly retryAfterMs?: number;
}

/** Undefined: it is not to be tried again here. What makes something new by POST is not, unless the API said that it did nothing. */
function pauseBefore(
  { code, retryAfterMs }: Failure,
  request: ApiRequest,
  tries: number,
): number | undefined {
  if (tries >= longestTries) return undefined;
  const isBusy = code === 429;
  const isShort = code === 0 || code === 502 || code === 503 || code === 504;
  if (!isBusy && !(isShort && request.method !== 'POST')) return undefined;
  // Nobody is there: a second try is for a kept connection that had died; more of them help nobody.
  if (code === 0 && tries > 1) return undefined;
  const pause = Math.max(retryAfterMs ?? 0, firstPauseMs * 2 ** (tries - 1));
  return pause > longestPauseMs ? undefined : Math.round(pause * (1 + Math.random() * 0.5));
}

/** Reasons that we do not know keep their message under the reason of their code. */
function errorOf(text: string, code: number): StatusError {
  const body = parsed(text);
  const known = statusErrorFromBody(body, code);
  if (known.reason !== 'InternalError' && known.message.length > 0 && body?.reason === known.reason)
    return known;
  const message = typeof body?.message === 'string' && body.message !== '' ? body.message : undefined;
  if (message === undefined) return known;
  const reason = code === 500 ? 'InternalError' : statusErrorFromBody(undefined, code).reason;
  return new StatusError(reason, message, { details: known.details });
}

function parsed(text: string): { reason?: unknown; message?: unknown } | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

async function* linesOf(answer: IncomingMessage): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of answer) {
    const lines = (rest + decoder.write(chunk as Buffer)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > longestLine) throw new StatusError('RequestEntityTooLarge', 'a line is too long');
    for (const line of lines) if (line !== '') yield line;
  }
  rest += decoder.end();
  if (rest !== '') yield rest;
}
