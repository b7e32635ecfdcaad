import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from 'node:http2';
import type { Duplex, Readable } from 'node:stream';
import { type Clock, linkIdleSeconds, type Logger, StatusError } from '@selvedge/api';
import { socketFor } from '@selvedge/api/node';
import type { FarAnswer, FarCall, FarSide, FarUpgrade } from './far-side.ts';
import { userHeader } from './link-headers.ts';

export interface SiteLinkOptions {
  readonly site: string;
  /** The bytes of the connection. Destroying it ends the connection at once. */
  readonly transport: Duplex;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  /** A request without a body is told apart by its kind only. */
  readonly onSession?: (kind: 'request' | 'upgrade') => void;
}

/** Of what one request may have on its way, and of all together: users who do not read hold up nobody else. */
const streamWindowBytes = 256 * 1024;
const linkWindowBytes = 64 * 1024 * 1024;
/** As many as fit into the window of the link; the far side may take fewer. */
const maxStreams = 250;
/** Of them, for one user: who opens one watch after the other takes the site away from nobody else. */
const userShare = 0.5;
const maxHeaderBytes = 64 * 1024;
/** Pairs in one header block of an answer. */
const maxHeaderPairs = 200;
/** Interim answers (1xx) of one request. */
const maxInterim = 20;
const settingsMs = 10_000;
const pingEveryMs = 20_000;
const pingMs = 15_000;
/** An answer to a new link that takes the place of one that may be dead. */
const probeMs = 5_000;

/** With an error: `close` of a stream ends it in good order first, and half a body would look like all of it. */
function cut(stream: ClientHttp2Stream): void {
  stream.destroy(new Error('cut off'));
}

/** One open service link: requests of users go to the site as streams of an HTTP/2 connection. */
export class SiteLink implements FarSide {
  readonly site: string;
  readonly #o: SiteLinkOptions;
  readonly #log: Logger;
  readonly #session: ClientHttp2Session;
  readonly #closed = new AbortController();
  readonly #upgrades = new Set<ClientHttp2Stream>();
  readonly #streamsByUser = new Map<string, number>();
  #streams = 0;
  #idle = new AbortController();
  #isRetired = false;

  private constructor(options: SiteLinkOptions, session: ClientHttp2Session) {
    this.site = options.site;
    this.#o = options;
    this.#log = options.logger;
    this.#session = session;
    session.on('error', (error) => this.#log.debug('link failed', { site: this.site, error: error.message }));
    session.once('goaway', () => this.retire());
    session.once('close', () => {
      this.#isRetired = true;
      this.#closed.abort('closed');
      this.#idle.abort('closed');
      options.transport.destroy();
    });
  }

  /** Resolves when the far side has said who it is; throws ServiceUnavailable when it does not in time. */
  static async open(options: SiteLinkOptions): Promise<SiteLink> {
    const socket = await socketFor(options.transport);
    const session = connect('https://site', {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: streamWindowBytes,
        maxHeaderListSize: maxHeaderBytes,
        maxConcurrentStreams: 0,
      },
      maxHeaderListPairs: maxHeaderPairs,
      maxSessionMemory: 96,
      maxOutstandingPings: 4,
      maxSettings: 32,
    });
    const link = new SiteLink(options, session);
    session.once('connect', () => session.setLocalWindowSize(linkWindowBytes));
    const { promise, resolve } = Promise.withResolvers<void>();
    session.once('remoteSettings', () => resolve());
    session.once('close', () => resolve());
    const settled = new AbortController();
    await Promise.race([promise, options.clock.sleep(settingsMs, settled.signal)]);
    settled.abort('settled');
    if (session.remoteSettings.enableConnectProtocol !== true || session.destroyed) {
      link.destroy();
      throw new StatusError('ServiceUnavailable', 'the other end of the link does not speak its protocol');
    }
    link.#watch();
    return link;
  }

  /** Takes new requests. */
  get isOpen(): boolean {
    return !this.#isRetired && !this.#session.closed && !this.#session.destroyed;
  }

  /** Requests under way. */
  get streams(): number {
    return this.#streams;
  }

  /** Fires when the connection is gone. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  async answer(call: FarCall, body: Readable | undefined): Promise<FarAnswer> {
    const { method } = call;
    const stream = this.#request(call, { ':method': method }, body === undefined);
    if (body) sendBody(body, stream);
    const headers = await this.#response(stream, call);
    return { status: headers[':status'] ?? 502, headers, body: stream };
  }

  async upgrade(call: FarCall, protocol: string): Promise<FarUpgrade | FarAnswer> {
    const stream = this.#request(call, { ':method': 'CONNECT', ':protocol': protocol }, false);
    this.#upgrades.add(stream);
    stream.once('close', () => this.#upgrades.delete(stream));
    const headers = await this.#response(stream, call);
    const status = headers[':status'] ?? 502;
    if (status === 200) return { headers, socket: stream };
    stream.end();
    return { status, headers, body: stream };
  }

  /** Ends the sessions that are more than reading. */
  endUpgrades(): void {
    for (const stream of this.#upgrades) cut(stream);
  }

  /** Whether the far side still answers. */
  isAlive(): Promise<boolean> {
    return this.#ping(probeMs);
  }

  /** No new requests; closes when the last one is over. */
  retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    if (this.#session.destroyed) return;
    this.#session.goaway();
    this.#session.close();
  }

  /** Ends it and every request on it at once. */
  destroy(): void {
    this.#isRetired = true;
    this.#session.destroy(new Error('the link was ended'));
    this.#o.transport.destroy();
  }

  #request(call: FarCall, verb: Record<string, string>, endStream: boolean): ClientHttp2Stream {
    if (!this.isOpen) throw lost(this.site);
    this.#checkRoom(call.user.name);
    const headers = {
      ...call.headers,
      ...userHeader(call.user),
      'audit-id': call.auditId,
      ...verb,
      ':path': call.path,
      ':scheme': 'https',
      ':authority': 'site',
    };
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(headers, { endStream });
    } catch (cause) {
      if (!this.isOpen) throw lost(this.site);
      throw new StatusError(
        'BadRequest',
        'the request cannot be sent on: a header or its method is not valid',
        {
          cause,
        },
      );
    }
    this.#begins(call.user.name);
    // Told by `close` too, which always comes.
    stream.on('error', () => {});
    const onGone = () => cut(stream);
    stream.once('close', () => {
      call.signal.removeEventListener('abort', onGone);
      this.#ends(call.user.name);
    });
    if (call.signal.aborted) onGone();
    else call.signal.addEventListener('abort', onGone, { once: true });
    this.#o.onSession?.(verb[':protocol'] === undefined ? 'request' : 'upgrade');
    return stream;
  }

  #response(stream: ClientHttp2Stream, call: FarCall): Promise<IncomingHttpHeaders & { ':status'?: number }> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingHttpHeaders>();
    let interim = 0;
    stream.on('headers', () => {
      interim += 1;
      if (interim > maxInterim) cut(stream);
    });
    stream.once('response', resolve);
    stream.once('close', () => {
      // After a response nobody listens any more.
      reject(call.signal.aborted ? new StatusError('Timeout', 'the client has gone') : lost(this.site));
    });
    return promise;
  }

  /** What the far side does not take would wait without a word, perhaps for ever. */
  #checkRoom(user: string): void {
    const most = Math.min(maxStreams, this.#session.remoteSettings.maxConcurrentStreams ?? maxStreams);
    const theirs = this.#streamsByUser.get(user) ?? 0;
    const mostOfOne = Math.ceil(most * userShare);
    if (theirs >= mostOfOne) throw tooMany(this.site, `${theirs} requests of yours`);
    if (this.#streams >= most) throw tooMany(this.site, `${this.#streams} requests`);
  }

  #begins(user: string): void {
    this.#streams += 1;
    this.#streamsByUser.set(user, (this.#streamsByUser.get(user) ?? 0) + 1);
    this.#idle.abort('busy');
  }

  #ends(user: string): void {
    this.#streams -= 1;
    const left = (this.#streamsByUser.get(user) ?? 1) - 1;
    if (left > 0) this.#streamsByUser.set(user, left);
    else this.#streamsByUser.delete(user);
    if (this.#streams === 0) void this.#closeWhenIdle();
  }

  #watch(): void {
    void this.#closeWhenIdle();
    void this.#keepAlive();
  }

  async #closeWhenIdle(): Promise<void> {
    const idle = new AbortController();
    this.#idle = idle;
    if (this.#closed.signal.aborted) return;
    await this.#o.clock.sleep(linkIdleSeconds * 1000, idle.signal);
    if (idle.signal.aborted || this.#streams > 0) return;
    this.#log.debug('link is idle, closing it', { site: this.site });
    this.retire();
  }

  async #keepAlive(): Promise<void> {
    const { clock, random } = this.#o;
    for (;;) {
      await clock.sleep(pingEveryMs * (0.8 + 0.4 * random()), this.closed);
      if (this.closed.aborted) return;
      if (await this.#ping(pingMs)) continue;
      if (this.closed.aborted) return;
      this.#log.info('link does not answer any more', { site: this.site });
      this.destroy();
      return;
    }
  }

  async #ping(patienceMs: number): Promise<boolean> {
    const session = this.#session;
    if (session.destroyed) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    try {
      if (!session.ping((error) => resolve(error === null))) return false;
    } catch {
      return false;
    }
    const answered = new AbortController();
    const late = this.#o.clock
      .sleep(patienceMs, AbortSignal.any([answered.signal, this.closed]))
      .then(() => false);
    const isAlive = await Promise.race([promise, late]);
    answered.abort('answered');
    return isAlive;
  }
}

/** As fast as the site takes it; what is left when the site has answered is not read. */
function sendBody(body: Readable, stream: ClientHttp2Stream): void {
  body.pipe(stream);
  stream.once('close', () => body.unpipe(stream));
  body.once('close', () => {
    if (!body.readableEnded) cut(stream);
  });
}

function tooMany(site: string, what: string): StatusError {
  return new StatusError('TooManyRequests', `${what} to site "${site}" are open at once: end some first`, {
    details: { retryAfterSeconds: 1 },
  });
}

function lost(site: string): StatusError {
  return new StatusError(
    'ServiceUnavailable',
    `the link to site "${site}" was lost before the site answered: ask again`,
  );
}
