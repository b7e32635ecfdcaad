import type { ServerHttp2Session } from 'node:http2';
import type { Duplex } from 'node:stream';
import { type Clock, linkIdleSeconds } from '@selvedge/api';
import { socketFor } from '@selvedge/api/node';
import { LinkStream, type LinkStreamOptions } from './link-stream.ts';

export interface LinkServiceOptions extends LinkStreamOptions {
  readonly clock: Clock;
  /** `linkIdleSeconds` when absent. */
  readonly idleSeconds?: number;
  /** Between two questions whether the other end is still there. */
  readonly pingSeconds?: number;
}

/**
 * The site's end of one service link: an HTTP/2 server with extended CONNECT on a connection that the agent has opened. What a
 * hub can use up is bounded: 128 requests at a time with 256 KiB on their way in each, 64 KiB of headers.
 */
export class LinkService {
  readonly #session: ServerHttp2Session;
  readonly #transport: Duplex;
  readonly #options: LinkServiceOptions;
  readonly #streams = new Set<LinkStream>();
  readonly #over = new AbortController();
  readonly #ended = Promise.withResolvers<string>();
  #idleTimer = new AbortController();

  private constructor(transport: Duplex, session: ServerHttp2Session, options: LinkServiceOptions) {
    this.#transport = transport;
    this.#session = session;
    this.#options = options;
    session.on('stream', (stream, headers) => {
      const served = new LinkStream(stream, options);
      this.#streams.add(served);
      this.#idleTimer.abort();
      stream.once('close', () => {
        this.#streams.delete(served);
        if (this.#streams.size === 0) this.#waitIdle();
      });
      void served.serve(headers);
    });
    session.on('error', (error) => this.#finish(`the connection failed: ${error.message}`));
    session.once('close', () => this.#finish('the hub closed it'));
    transport.on('error', () => {
      // The session ends with it.
    });
    transport.once('close', () => {
      this.#finish('the connection was lost');
      session.destroy();
    });
    this.#waitIdle();
    void this.#watchOver();
  }

  static async serve(transport: Duplex, options: LinkServiceOptions): Promise<LinkService> {
    const { performServerHandshake } = await import('node:http2');
    const socket = await socketFor(transport);
    const session = performServerHandshake(socket, {
      maxSessionMemory: 48,
      maxHeaderListPairs: 256,
      settings: {
        enableConnectProtocol: true,
        maxConcurrentStreams,
        initialWindowSize: streamWindowBytes,
        maxHeaderListSize: 64 * 1024,
      },
    });
    session.setLocalWindowSize(maxConcurrentStreams * streamWindowBytes);
    return new LinkService(socket, session, options);
  }

  /** Says why, when it is over. */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** Asks the hub's end for a sign of life. */
  async isAlive(withinMs: number): Promise<boolean> {
    if (this.isOver || this.#session.destroyed) return false;
    const answered = new AbortController();
    const pong = new Promise<boolean>((resolve) => {
      try {
        this.#session.ping((error) => resolve(error === null));
      } catch {
        resolve(false);
      }
    });
    const late = this.#options.clock.sleep(withinMs, answered.signal).then(() => false);
    const isAlive = await Promise.race([pong, late]);
    answered.abort();
    return isAlive;
  }

  /** What the policy no longer allows ends now. */
  checkPolicy(): void {
    for (const stream of this.#streams) stream.checkPolicy();
  }

  /** At once, with all that goes over it. */
  end(reason: string): void {
    for (const stream of this.#streams) stream.cancel();
    this.#finish(reason);
    this.#session.destroy();
    this.#transport.destroy();
  }

  #finish(reason: string): void {
    if (this.isOver) return;
    this.#over.abort();
    this.#idleTimer.abort();
    this.#ended.resolve(reason);
  }

  #waitIdle(): void {
    if (this.isOver) return;
    this.#idleTimer = new AbortController();
    const { signal } = this.#idleTimer;
    // Later than the hub, which knows whether it is about to ask for something.
    const idleMs = (this.#options.idleSeconds ?? linkIdleSeconds) * 1100;
    void this.#options.clock.sleep(idleMs, signal).then(() => {
      if (!signal.aborted && this.#streams.size === 0) this.#closeIdle();
    });
  }

  /** With a GOAWAY, so that the hub asks again elsewhere what crosses it on its way. */
  #closeIdle(): void {
    this.#finish('nobody used it');
    this.#session.close(() => this.#transport.end());
    void this.#options.clock.sleep(closeMs).then(() => {
      this.#session.destroy();
      this.#transport.destroy();
    });
  }

  async #watchOver(): Promise<void> {
    const pingMs = (this.#options.pingSeconds ?? 20) * 1000;
    const { signal } = this.#over;
    while (!signal.aborted) {
      await this.#options.clock.sleep(pingMs * (0.75 + Math.random() / 2), signal);
      if (signal.aborted) return;
      if (!(await this.isAlive(pingMs)) && !this.isOver) this.end('the hub was silent');
    }
  }
}

const maxConcurrentStreams = 128;
const streamWindowBytes = 256 * 1024;
const closeMs = 2000;
