import type { X509Certificate } from 'node:crypto';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { hubTimeHeader, type Logger } from '@selvedge/api';
import { ContactError } from './contact-error.ts';
import type { HubClock } from './hub-clock.ts';
import { openTunnel, unbracket, waitForSocket } from './open-tunnel.ts';
import type { ProxySettings } from './proxy-settings.ts';
import { isHubServer, publicCertificates, UntrustedServer, verifyPublicServer } from './server-trust.ts';

export interface HubRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Longest silence until the answer begins. */
  readonly answerTimeoutMs: number;
  /** A longer answer is cut off with an error. */
  readonly maxBytes: number;
  /** Gets the body of a 2xx answer piece by piece, instead of `HubAnswer.body`. */
  readonly onData?: (chunk: Buffer, status: number, headers: IncomingHttpHeaders) => void;
  readonly signal: AbortSignal;
}

export interface HubAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HubConnectionOptions {
  /** In order of preference. The one that worked is kept until it fails, or until `returnToPreferred` finds a better one. */
  readonly hubs: readonly URL[];
  /** Undefined only for the first contact: then every certificate is taken, and what is read must be proven by signature. */
  readonly hubCa: X509Certificate | undefined;
  readonly proxies: ProxySettings;
  /**
   * CAs (PEM, one each) of proxies that end TLS on the way, beside those that this machine trusts. What the site obeys has to be
   * signed by the fleet key all the same.
   */
  readonly extraCas?: readonly string[];
  readonly clock: HubClock;
  readonly logger: Logger;
  readonly connectTimeoutMs?: number;
  /** Longest silence within an answer. */
  readonly idleTimeoutMs?: number;
  /** Between two looks at the addresses that are preferred to the one in use. */
  readonly returnMs?: number;
}

/** HTTPS to the hub on `node:https` alone: kept connections, several addresses, a proxy, time-outs on every wait. */
export class HubConnection {
  readonly #options: Required<HubConnectionOptions>;
  readonly #agent: TrustingAgent;
  #current = 0;
  /** Answers of the address in use that broke off or were not the hub's, one after the other. */
  #brokenAnswers = 0;

  constructor(options: HubConnectionOptions) {
    this.#options = {
      connectTimeoutMs: 10_000,
      idleTimeoutMs: 20_000,
      returnMs: 300_000,
      extraCas: [],
      ...options,
    };
    this.#agent = new TrustingAgent(this.#options);
  }

  /** The address in use. */
  get hub(): URL {
    return this.#options.hubs[this.#current] as URL;
  }

  /** Throws `ContactError` when no hub address gave a complete answer; an answer of any status is returned. */
  async request(request: HubRequest): Promise<HubAnswer> {
    return this.#atSomeAddress(request.signal, async (hub) => {
      try {
        const answer = await this.#ask(hub, request);
        // A load balancer without a hub behind it answers too, in its own words.
        if (answer.headers[hubTimeHeader] === undefined) {
          this.#noteBroken(hub, new ContactError('answer', `not the hub answered: ${answer.status}`));
        } else this.#brokenAnswers = 0;
        return answer;
      } catch (error) {
        if (error instanceof ContactError && !request.signal.aborted) this.#noteBroken(hub, error);
        throw error;
      }
    });
  }

  /**
   * The beginning of an answer of any status, for bodies that are read piece by piece and as slowly as the caller likes: who reads
   * watches for silence. Throws `ContactError`.
   */
  async open(request: Omit<HubRequest, 'body' | 'maxBytes' | 'onData'>): Promise<IncomingMessage> {
    return this.#atSomeAddress(request.signal, async (hub) => {
      try {
        return await this.#open(hub, request);
      } catch (error) {
        if (error instanceof ContactError && !request.signal.aborted) this.#noteBroken(hub, error);
        throw error;
      }
    });
  }

  /** A connection of its own, proven as those of requests are. Throws `ContactError`. */
  async openSocket(signal: AbortSignal): Promise<{ socket: TLSSocket; hub: URL }> {
    return this.#atSomeAddress(signal, async (hub) => {
      try {
        const { hostname: host, port } = hostAndPort(hub);
        return { socket: await this.#agent.open({ host, port }, signal), hub };
      } catch (error) {
        throw toContactError(error as Error, hub, { hasAnswer: false, onKeptConnection: false });
      }
    });
  }

  /**
   * While a later address is in use, looks from time to time whether an earlier one leads to the hub again, and goes back to it with the
   * next request; what is under way stays where it is. Until the signal fires.
   */
  async returnToPreferred(
    isHub: (answer: HubAnswer) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, hubs, logger, returnMs } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(returnMs * (0.75 + Math.random() / 2), signal);
      for (const [index, hub] of hubs.entries()) {
        if (index >= this.#current || signal.aborted) break;
        if (!(await this.#answersAsHub(hub, isHub, signal)) || index >= this.#current) continue;
        logger.info('a preferred address of the hub answers again', {
          hub: hub.origin,
          former: this.hub.origin,
        });
        this.#use(index);
      }
    }
  }

  async #answersAsHub(
    hub: URL,
    isHub: (answer: HubAnswer) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const question = { method: 'GET', path: '/gateway/v1/identity' } as const;
    try {
      const answer = await this.#ask(hub, { ...question, answerTimeoutMs: 15_000, maxBytes: 65_536, signal });
      return await isHub(answer);
    } catch {
      return false;
    }
  }

  async #atSomeAddress<T>(signal: AbortSignal, attempt: (hub: URL) => Promise<T>): Promise<T> {
    const { hubs } = this.#options;
    for (let tried = 1; ; tried++) {
      const index = this.#current;
      try {
        return await attempt(this.hub);
      } catch (error) {
        if (!(error instanceof ContactError)) throw error;
        if (error.phase !== 'connect' || signal.aborted) throw error;
        // Another request may have moved on already.
        if (index === this.#current) this.#moveOn(error);
        if (tried >= hubs.length) throw error;
      }
    }
  }

  /** A connection that is cut now and then is no reason to leave an address; one that never carries an answer is. */
  #noteBroken(hub: URL, error: ContactError): void {
    if (error.phase !== 'answer' || error.onKeptConnection || hub !== this.hub) return;
    this.#brokenAnswers += 1;
    if (this.#brokenAnswers >= mostBrokenAnswers) this.#moveOn(error);
  }

  #moveOn(error: ContactError): void {
    const { hubs, logger } = this.#options;
    const next = (this.#current + 1) % hubs.length;
    if (hubs.length > 1) {
      logger.debug('trying the next hub address', {
        hub: this.hub.origin,
        next: hubs[next]?.origin,
        error: error.message,
      });
    }
    this.#use(next);
  }

  #use(index: number): void {
    this.#current = index;
    this.#brokenAnswers = 0;
  }

  /**
   * Resolves when the hub's port (not the hub) can be reached again, so that a site does not sit out its back-off when
   * its link returns. Never, when a proxy stands between: that one is always there.
   */
  async waitUntilReachable(signal: AbortSignal): Promise<void> {
    const { hostname, port } = hostAndPort(this.hub);
    const isProxied = this.#options.proxies.findProxy({ host: hostname, port }) !== undefined;
    while (!signal.aborted) {
      await this.#options.clock.sleep(probeIntervalMs * (0.75 + Math.random() / 2), signal);
      if (isProxied || signal.aborted) continue;
      try {
        const timeoutMs = this.#options.connectTimeoutMs;
        (await openTunnel({ host: hostname, port, proxy: undefined, timeoutMs, signal })).destroy();
        return;
      } catch {
        // Still away: that is what this loop waits for.
      }
    }
  }

  /** The hub has a new CA (its fleet key said so). */
  trust(hubCa: X509Certificate): void {
    this.#agent.trust(hubCa);
  }

  /** Open requests fail, kept connections are closed. */
  close(): void {
    this.#agent.destroy();
  }

  async #ask(hub: URL, request: HubRequest): Promise<HubAnswer> {
    const incoming = await this.#open(hub, request);
    incoming.setTimeout(this.#options.idleTimeoutMs, () =>
      incoming.destroy(new Error('the answer stands still')),
    );
    try {
      const body = await readBody(incoming, request);
      return { status: incoming.statusCode ?? 0, headers: incoming.headers, body };
    } catch (error) {
      incoming.destroy();
      throw toContactError(error as Error, hub, { hasAnswer: true, onKeptConnection: false });
    }
  }

  #open(
    hub: URL,
    request: Pick<HubRequest, 'method' | 'path' | 'headers' | 'body' | 'answerTimeoutMs' | 'signal'>,
  ): Promise<IncomingMessage> {
    const { clock } = this.#options;
    const { hostname, port } = hostAndPort(hub);
    return new Promise((resolve, reject) => {
      const body = request.body;
      let hasAnswer = false;
      const outgoing = httpsRequest({
        agent: this.#agent,
        host: hostname,
        port,
        method: request.method,
        path: hub.pathname.replace(/\/$/, '') + request.path,
        signal: request.signal,
        headers: {
          ...request.headers,
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': body.length }),
        },
      });
      const fail = (error: Error) => {
        const isReused = outgoing.reusedSocket && !hasAnswer && isCut(error);
        reject(toContactError(error, hub, { hasAnswer, onKeptConnection: isReused }));
      };
      outgoing.on('error', fail);
      outgoing.setTimeout(request.answerTimeoutMs, () =>
        outgoing.destroy(new ContactError('answer', 'no answer in time', { isTimeout: true })),
      );
      outgoing.once('response', (incoming) => {
        hasAnswer = true;
        clock.observe(oneHeader(incoming.headers[hubTimeHeader]));
        outgoing.setTimeout(0);
        resolve(incoming);
      });
      outgoing.end(body);
    });
  }
}

/** Opens connections that are proven before a byte of a request goes over them. */
class TrustingAgent extends Agent {
  readonly #options: Required<HubConnectionOptions>;
  readonly #stopped = new AbortController();
  /** Origins where a proxy ends TLS with a certificate of a public CA. */
  readonly #publicOrigins = new Set<string>();

  #hubCa: X509Certificate | undefined;

  constructor(options: Required<HubConnectionOptions>) {
    super({ keepAlive: true, maxFreeSockets: 2, maxCachedSessions: 0 });
    this.#options = options;
    this.#hubCa = options.hubCa;
  }

  trust(hubCa: X509Certificate): void {
    this.#hubCa = hubCa;
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    this.open({ host: String(options.host), port: Number(options.port) }, this.#stopped.signal).then(
      (socket) => callback?.(null, socket),
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
    return undefined;
  }

  override destroy(): void {
    this.#stopped.abort();
    super.destroy();
  }

  async open(target: { host: string; port: number }, until: AbortSignal): Promise<TLSSocket> {
    const { clock, extraCas } = this.#options;
    const signal = AbortSignal.any([until, this.#stopped.signal]);
    const hubCa = this.#hubCa;
    const origin = `${target.host}:${target.port}`;
    const times = { hubNow: clock.provenNow(), machineNow: clock.machineNow() };
    if (hubCa === undefined) return this.#shake(target, [], signal);
    if (!this.#publicOrigins.has(origin)) {
      const socket = await this.#shake(target, [hubCa.toString()], signal);
      if (judge(socket, () => isHubServer(socket, { host: target.host, hubCa, ...times }))) return socket;
      socket.destroy();
    }
    this.#publicOrigins.delete(origin);
    const trusted = [...publicCertificates(), ...extraCas];
    const socket = await this.#shake(target, trusted, signal);
    judge(socket, () => verifyPublicServer(socket, { host: target.host, trusted, ...times }));
    this.#publicOrigins.add(origin);
    return socket;
  }

  async #shake(
    target: { host: string; port: number },
    ca: string[],
    signal: AbortSignal,
  ): Promise<TLSSocket> {
    const { connectTimeoutMs: timeoutMs, extraCas, proxies } = this.#options;
    const wait = { timeoutMs, signal };
    const proxy = proxies.findProxy(target);
    const tunnel: Socket = await openTunnel({ ...target, proxy, proxyCas: extraCas, ...wait });
    const socket = connectTls({
      socket: tunnel,
      ca,
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      // `isHubServer` and `verifyPublicServer` judge, before anything is sent: OpenSSL cannot leave dates aside.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(isIP(target.host) ? {} : { servername: target.host }),
    });
    await waitForSocket(socket, 'secureConnect', { ...wait, what: `TLS with ${target.host}:${target.port}` });
    return socket;
  }
}

const probeIntervalMs = 3000;
const mostBrokenAnswers = 2;

function judge<T>(socket: TLSSocket, verdict: () => T): T {
  try {
    return verdict();
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function readBody(incoming: IncomingMessage, request: HubRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const status = incoming.statusCode ?? 0;
    if (incoming.destroyed) reject(new ContactError('answer', 'the answer was cut off'));
    const isStreamed = request.onData !== undefined && status >= 200 && status < 300;
    let length = 0;
    incoming.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > request.maxBytes) {
        reject(new ContactError('answer', `the answer is longer than ${request.maxBytes} bytes`));
        return;
      }
      if (!isStreamed) {
        chunks.push(chunk);
        return;
      }
      try {
        request.onData?.(chunk, status, incoming.headers);
      } catch (error) {
        // Who gets it wants no more of it.
        reject(error as Error);
      }
    });
    incoming.once('end', () => resolve(Buffer.concat(chunks)));
    incoming.once('error', reject);
    incoming.once('close', () => reject(new ContactError('answer', 'the answer was cut off')));
  });
}

function isCut(error: Error): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function toContactError(
  error: Error,
  hub: URL,
  seen: { hasAnswer: boolean; onKeptConnection: boolean },
): ContactError {
  if (error instanceof ContactError) return error;
  if (error instanceof UntrustedServer) {
    return new ContactError('connect', `${hub.origin}: ${error.message}`, {
      isUntrusted: true,
      cause: error,
    });
  }
  const isLate = seen.hasAnswer || isCut(error);
  return new ContactError(isLate ? 'answer' : 'connect', `${hub.origin}: ${describe(error)}`, {
    cause: error,
    onKeptConnection: seen.onKeptConnection,
  });
}

/** Happy eyeballs gives an AggregateError with an empty message. */
function describe(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message;
  return error.errors.map((one: Error) => one.message).join('; ');
}

function hostAndPort(hub: URL): { hostname: string; port: number } {
  return { hostname: unbracket(hub.hostname), port: Number(hub.port) || 443 };
}

function oneHeader(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
