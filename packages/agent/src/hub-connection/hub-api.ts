import type { IncomingHttpHeaders } from 'node:http';
import { isStatusError, statusErrorFromBody, StatusError } from '@selvedge/api';
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
    return decodeAnswer(await this.#ask({ ...options, method: 'POST', path, body: bytes })) as T;
  }

  /** From byte `offset` on; `onData` is told with which status (200: the hub sends from the beginning). */
  async getBlob(
    digest: string,
    options: Pick<HubRequest, 'answerTimeoutMs' | 'maxBytes' | 'signal'> & {
      offset: number;
      onData: (chunk: Buffer, status: number) => void;
    },
  ): Promise<void> {
    const { offset, ...rest } = options;
    const answer = await this.#ask({
      ...rest,
      method: 'GET',
      path: `/content/v1/blobs/${digest}`,
      ...(offset === 0 ? {} : { headers: { range: `bytes=${offset}-` } }),
    });
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
    const token = await signRequestToken(this.#speaker.key, {
      hubId: this.#speaker.hubId,
      site: this.#speaker.site,
      body: request.body ?? new Uint8Array(),
      now: this.#clock.now(),
    });
    return this.#connection.request({
      ...request,
      headers: { ...request.headers, authorization: `Bearer ${token}` },
    });
  }
}

const relevantOffsetMs = 5000;

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
