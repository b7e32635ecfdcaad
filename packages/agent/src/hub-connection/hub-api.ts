import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isStatusError, statusErrorFromBody, StatusError } from '@selvedge/api';
import { decodeContent } from '@selvedge/api/node';
import type { AgentKey } from '../identity/agent-key.ts';
import { signRequestToken } from '../identity/request-token.ts';
import { ContactError } from './contact-error.ts';
import type { HubClock } from './hub-clock.ts';
import type { HubAnswer, HubConnection, HubRequest } from './hub-connection.ts';

/** As whom the agent speaks, and to whom. */
export interface Speaker {
  readonly key: AgentKey;
  readonly hubId: string;
  /** '' at enrolment. */
  readonly site: string;
}

/** How the bytes of a blob come; both are absent when a hub says nothing of it. */
export interface BlobForm {
  /** Absent: as it is. */
  readonly encoding?: string;
  /** Names exactly these bytes. */
  readonly etag?: string;
}

/**
 * Signed requests to the gateway. Throws `StatusError` when the hub refused, `ContactError` when the hub did not answer
 * (what a proxy on the way says in its own words is no answer of the hub).
 */
export class HubApi {
  readonly #connection: HubConnection;
  readonly #speaker: Speaker;
  readonly #clock: HubClock;

  constructor(options: { connection: HubConnection; speaker: Speaker; clock: HubClock }) {
    this.#connection = options.connection;
    this.#speaker = options.speaker;
    this.#clock = options.clock;
  }

  async post<T>(
    path: string,
    body: unknown,
    options: Pick<HubRequest, 'answerTimeoutMs' | 'maxBytes' | 'signal'>,
  ): Promise<T> {
    const bytes = Buffer.from(JSON.stringify(body));
    const headers = { 'accept-encoding': 'zstd' };
    const answer = await this.#ask({ ...options, method: 'POST', path, headers, body: bytes });
    return decodeAnswer(await inflated(answer, options.maxBytes)) as T;
  }

  async get<T>(
    path: string,
    options: Pick<HubRequest, 'answerTimeoutMs' | 'maxBytes' | 'signal'>,
  ): Promise<T> {
    return decodeAnswer(await this.#ask({ ...options, method: 'GET', path })) as T;
  }

  /** From byte `offset` of the form `etag` on; `onData` is told with which status (200: the hub sends from the beginning) and in which form. */
  async getBlob(
    digest: string,
    options: Pick<HubRequest, 'answerTimeoutMs' | 'maxBytes' | 'signal'> & {
      offset: number;
      /** Of the form in which it came so far. */
      etag?: string;
      /** That can be undone here, for `Accept-Encoding`. */
      encodings?: string;
      /** Value of `Available-Dictionary`. */
      dictionary?: string;
      onData: (chunk: Buffer, status: number, form: BlobForm) => void;
    },
  ): Promise<void> {
    const { offset, etag, encodings, dictionary, onData, ...rest } = options;
    const answer = await this.#ask({
      ...rest,
      method: 'GET',
      path: `/content/v1/blobs/${digest}`,
      headers: {
        ...(offset === 0
          ? {}
          : { range: `bytes=${offset}-`, ...(etag === undefined ? {} : { 'if-range': etag }) }),
        ...(encodings === undefined ? {} : { 'accept-encoding': encodings }),
        ...(dictionary === undefined ? {} : { 'available-dictionary': dictionary }),
      },
      onData: (chunk, status, headers) => onData(chunk, status, formOf(headers)),
    });
    if (answer.status === 416) throw new StatusError('BadRequest', 'the hub has no bytes from there on');
    if (answer.status < 200 || answer.status > 299) throw refusalOf(answer);
  }

  /**
   * The beginning of an answer of any status; the caller reads it, or destroys it. For bodies that are not to be held in memory. Throws
   * `ContactError`.
   */
  async open(
    path: string,
    options: { headers: Readonly<Record<string, string>>; signal: AbortSignal },
  ): Promise<IncomingMessage> {
    const offsetMs = this.#clock.offsetMs;
    const answer = await this.#openOnce(path, options).catch((error: unknown) => {
      const isStale = error instanceof ContactError && error.onKeptConnection && !options.signal.aborted;
      if (isStale) return this.#openOnce(path, options);
      throw error;
    });
    const hasLearnt = Math.abs(this.#clock.offsetMs - offsetMs) > relevantOffsetMs;
    if (answer.statusCode !== 401 || !hasLearnt) return answer;
    answer.resume();
    return this.#openOnce(path, options);
  }

  async #openOnce(
    path: string,
    { headers, signal }: { headers: Readonly<Record<string, string>>; signal: AbortSignal },
  ): Promise<IncomingMessage> {
    return this.#connection.open({
      method: 'GET',
      path,
      headers: { ...headers, authorization: `Bearer ${await this.#signToken(new Uint8Array())}` },
      answerTimeoutMs: 30_000,
      signal,
    });
  }

  /** The hub keeps the bytes when it resolves. */
  async put(
    path: string,
    body: Uint8Array,
    options: Pick<HubRequest, 'answerTimeoutMs' | 'maxBytes' | 'signal'>,
  ): Promise<void> {
    const answer = await this.#ask({ ...options, method: 'PUT', path, body });
    if (answer.status < 200 || answer.status > 299) throw refusalOf(answer);
  }

  /** A refusal for the clock is answered with the hub's time, which `HubClock` has just learnt: ask once more. */
  async #ask(request: HubRequest): Promise<HubAnswer> {
    const offsetMs = this.#clock.offsetMs;
    const answer = await this.#askOnce(request).catch((error: unknown) => {
      const isStale = error instanceof ContactError && error.onKeptConnection && !request.signal.aborted;
      // Signed anew, as the hub may have seen the first token.
      if (isStale) return this.#askOnce(request);
      throw error;
    });
    if (answer.status !== 401) return answer;
    const hasLearnt = Math.abs(this.#clock.offsetMs - offsetMs) > relevantOffsetMs;
    return hasLearnt || isClockRefusal(refusalOf(answer)) ? this.#askOnce(request) : answer;
  }

  async #askOnce(request: HubRequest): Promise<HubAnswer> {
    const token = await this.#signToken(request.body ?? new Uint8Array());
    return this.#connection.request({
      ...request,
      headers: { ...request.headers, authorization: `Bearer ${token}` },
    });
  }

  #signToken(body: Uint8Array): Promise<string> {
    const { key, hubId, site } = this.#speaker;
    return signRequestToken(key, { hubId, site, body, now: this.#clock.now() });
  }
}

const relevantOffsetMs = 5000;

function formOf({ etag, 'content-encoding': encoding }: IncomingHttpHeaders): BlobForm {
  return {
    ...(encoding === undefined || encoding === 'identity' ? {} : { encoding }),
    ...(etag === undefined ? {} : { etag }),
  };
}

/** The answer with its body as it was before it was compressed. */
async function inflated(answer: HubAnswer, maxBytes: number): Promise<HubAnswer> {
  if (answer.headers['content-encoding'] !== 'zstd') return answer;
  try {
    return { ...answer, body: await decodeContent(answer.body, { encoding: 'zstd', maxBytes }) };
  } catch (cause) {
    throw new ContactError('answer', 'the compressed answer cannot be read', { cause });
  }
}

/** JSON of a 2xx answer; else throws what the hub said, or `ContactError` when it was not the hub who said it. */
export function decodeAnswer(answer: HubAnswer): unknown {
  if (answer.status < 200 || answer.status > 299) throw refusalOf(answer);
  try {
    return JSON.parse(answer.body.toString('utf8'));
  } catch (cause) {
    throw new ContactError('answer', `the answer (${answer.status}) is not JSON`, { cause });
  }
}

/** The hub says that the request's time was wrong. */
export function isClockRefusal(error: unknown): boolean {
  return isStatusError(error, 'Unauthorized') && /\bclock\b/i.test(error.message);
}

/** What the hub said, or `ContactError` when it was not the hub who said it. */
export function refusalOf(answer: HubAnswer): StatusError | ContactError {
  let body: unknown;
  try {
    body = JSON.parse(answer.body.toString('utf8'));
  } catch {
    body = undefined;
  }
  if ((body as { kind?: unknown } | undefined)?.kind !== 'Status') {
    return new ContactError('answer', `something on the way answered ${answer.status}, not the hub`);
  }
  const error = statusErrorFromBody(body, answer.status);
  const retryAfterSeconds = error.details.retryAfterSeconds ?? retryAfterHeader(answer.headers);
  if (retryAfterSeconds === undefined) return error;
  return new StatusError(error.reason, error.message, { details: { ...error.details, retryAfterSeconds } });
}

function retryAfterHeader(headers: IncomingHttpHeaders): number | undefined {
  const seconds = Number(headers['retry-after']);
  return Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
}
