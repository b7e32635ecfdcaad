import {
  Agent as HttpAgent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https';
import { isIP, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Logger, StatusError } from '@selvedge/api';
import type { KubeAccess } from '@selvedge/kube';
import type { LinkAnswer, LinkCall, LinkDoor, LinkUpgrade } from '../../../link/link-door.ts';
import { checkedBody } from './impersonation-refusal.ts';
import { impersonationHeaders } from './impersonation.ts';

export interface KubernetesDoorOptions {
  readonly access: KubeAccess;
  readonly logger: Logger;
  readonly connectTimeoutMs?: number;
}

/**
 * The service link to a site's Kubernetes API: asks it with the agent's credentials in the name of `selvedge:<user>`. What that
 * user may do there is the site's RBAC alone.
 */
export function createKubernetesDoor(options: KubernetesDoorOptions): LinkDoor {
  return new KubernetesDoor(options);
}

type Outcome =
  | { readonly kind: 'answer'; readonly message: IncomingMessage }
  | { readonly kind: 'upgraded'; readonly message: IncomingMessage; readonly socket: Socket };

class KubernetesDoor implements LinkDoor {
  readonly #access: KubeAccess;
  readonly #logger: Logger;
  readonly #server: URL;
  readonly #connectTimeoutMs: number;
  readonly #agent: HttpAgent;

  constructor({ access, logger, connectTimeoutMs = 10_000 }: KubernetesDoorOptions) {
    this.#access = access;
    this.#logger = logger;
    this.#server = new URL(access.server);
    this.#connectTimeoutMs = connectTimeoutMs;
    // Nobody tells a door that its link has ended: kept connections end by themselves.
    const kept = { keepAlive: true, maxFreeSockets: 32, timeout: keptMs };
    this.#agent = this.#isPlain ? new HttpAgent(kept) : new HttpsAgent({ ...kept, maxCachedSessions: 1 });
  }

  async answer(call: LinkCall, body: Readable): Promise<LinkAnswer> {
    const content = await takeContent(call, body);
    const outcome = await this.#askTwice(call, {}, content);
    if (outcome.kind === 'answer') return toAnswer(outcome.message, call);
    outcome.socket.destroy();
    throw new StatusError('InternalError', "the site's API changed the protocol without being asked");
  }

  async upgrade(call: LinkCall, protocol: string): Promise<LinkUpgrade | LinkAnswer> {
    const headers = { connection: 'Upgrade', upgrade: protocol === 'spdy/3.1' ? 'SPDY/3.1' : protocol };
    const outcome = await this.#askTwice(call, headers, undefined);
    if (outcome.kind === 'answer') return toAnswer(outcome.message, call);
    return { headers: outcome.message.headers, socket: outcome.socket };
  }

  get #isPlain(): boolean {
    return this.#server.protocol === 'http:';
  }

  /** The agent's credentials may just have been renewed: one refusal is no refusal. */
  async #askTwice(call: LinkCall, headers: OutgoingHttpHeaders, content: Content): Promise<Outcome> {
    const first = await this.#ask(call, headers, content).catch((error: unknown) => {
      if (!(error instanceof StaleConnection)) throw error;
      return this.#ask(call, headers, content);
    });
    if (first.kind !== 'answer' || first.message.statusCode !== 401) return first;
    this.#access.refused();
    first.message.destroy();
    if (content !== undefined && !Buffer.isBuffer(content)) throw refusedAgent();
    const second = await this.#ask(call, headers, content);
    if (second.kind !== 'answer' || second.message.statusCode !== 401) return second;
    second.message.destroy();
    this.#logger.warn(
      "the cluster's API refuses the credentials of the agent; the service link cannot ask it",
    );
    // A 401 would tell the user that the hub refused theirs.
    throw refusedAgent();
  }

  async #ask(call: LinkCall, extra: OutgoingHttpHeaders, content: Content): Promise<Outcome> {
    const authorization = await this.#access.authorization(call.signal);
    call.signal.throwIfAborted();
    const request = this.#open(call, {
      ...call.headers,
      'content-length': undefined,
      ...framing(call.method, content),
      ...(authorization === undefined ? {} : { authorization }),
      ...impersonationHeaders(call.user),
      ...extra,
    });
    const outcome = waitForOutcome(request, {
      event: this.#isPlain ? 'connect' : 'secureConnect',
      timeoutMs: this.#connectTimeoutMs,
    });
    if (content === undefined || Buffer.isBuffer(content)) request.end(content);
    else {
      // An answer that comes before the body was read whole is an answer all the same.
      pipeline(content, request).catch(() => {});
    }
    try {
      return await outcome;
    } catch (error) {
      if (call.signal.aborted)
        throw new StatusError('Timeout', 'the one who asked is gone', { cause: error });
      const { message, code } = error as NodeJS.ErrnoException;
      if (request.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE')) throw new StaleConnection();
      throw new StatusError('ServiceUnavailable', `the agent cannot reach the cluster's API: ${message}`, {
        cause: error,
      });
    }
  }

  #open(call: LinkCall, headers: OutgoingHttpHeaders): ClientRequest {
    const { hostname, port, pathname } = this.#server;
    const { ca, cert, key, serverName, insecureSkipVerify } = this.#access.tls;
    const host = hostname.replace(/^\[|\]$/g, '');
    // What is not safe to send twice gets a connection of its own: a kept one may be closed at any moment.
    const mayReuse = isReading(call.method) && headers['upgrade'] === undefined;
    const options: RequestOptions = {
      host,
      ...(port === '' ? {} : { port }),
      method: call.method,
      path: pathname.replace(/\/$/, '') + call.path,
      headers: withoutUndefined(headers),
      signal: call.signal,
      agent: mayReuse ? this.#agent : false,
    };
    if (this.#isPlain) return httpRequest(options);
    const name = serverName ?? (isIP(host) === 0 ? host : undefined);
    return httpsRequest({
      ...options,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(name === undefined ? {} : { servername: name }),
      ...(insecureSkipVerify === true ? { rejectUnauthorized: false } : {}),
    });
  }
}

const keptMs = 30_000;
/** The kernel asks a silent API server whether it still lives: a watch may be silent for hours. */
const keepAliveMs = 15_000;
/** A body up to this length is kept until the answer, so that it can be sent again. */
const longestKept = 256 * 1024;

/** None, all of it, or what streams through. */
type Content = Buffer | Readable | undefined;

async function takeContent(call: LinkCall, body: Readable): Promise<Content> {
  if (isReading(call.method)) return undefined;
  const length = Number(call.headers['content-length']);
  if (!(length <= longestKept)) return body;
  const chunks: Buffer[] = [];
  let got = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    got += chunk.length;
    if (got > length) throw new StatusError('BadRequest', 'the body is longer than its content-length says');
    chunks.push(chunk);
  }
  if (got < length) throw new StatusError('BadRequest', 'the body was cut off');
  return Buffer.concat(chunks);
}

/**
 * The length that the client gave is not believed: a body longer than that would be read as another request, which nobody has judged. (Writing to
 * a request without a length and without chunks is what Node does for DELETE.)
 */
function framing(method: string, content: Content): OutgoingHttpHeaders {
  if (Buffer.isBuffer(content)) return { 'content-length': content.length };
  if (content !== undefined) return { 'transfer-encoding': 'chunked' };
  return isReading(method) ? {} : { 'content-length': 0 };
}

function withoutUndefined(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
}

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** The API closed a kept connection just when it was used: no fault. */
class StaleConnection extends Error {
  override readonly name = 'StaleConnection';
}

/** Resolves when an answer begins; it may take its time, as the one who asked gives up when it likes. */
function waitForOutcome(
  request: ClientRequest,
  ready: { event: 'connect' | 'secureConnect'; timeoutMs: number },
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    request.on('error', reject);
    request.once('response', (message) => resolve({ kind: 'answer', message }));
    request.once('upgrade', (message, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve({ kind: 'upgraded', message, socket: socket as Socket });
    });
    request.once('close', () => reject(new Error('the connection was closed')));
    request.once('socket', (socket) => {
      if (request.reusedSocket) return;
      socket.setNoDelay(true);
      socket.setKeepAlive(true, keepAliveMs);
      const onTimeout = () => request.destroy(new Error(`no connection within ${ready.timeoutMs} ms`));
      socket.setTimeout(ready.timeoutMs, onTimeout);
      socket.once(ready.event, () => {
        socket.off('timeout', onTimeout);
        socket.setTimeout(0);
      });
    });
  });
}

async function toAnswer(message: IncomingMessage, { user }: LinkCall): Promise<LinkAnswer> {
  const body = await checkedBody(message, user);
  return { status: message.statusCode ?? 502, headers: message.headers, body };
}

function refusedAgent(): StatusError {
  return new StatusError(
    'ServiceUnavailable',
    "the cluster's API refuses the credentials of the site's agent; ask the people of the site",
  );
}
