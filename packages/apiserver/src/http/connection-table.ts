import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Logger } from '@selvedge/api';

/** A TLS socket that speaks HTTP/1.1, or an HTTP/2 session. */
interface Connection {
  destroy(): unknown;
}

/**
 * Who is connected. When there are too many, a newcomer takes the place of the connection that has been idle longest:
 * thousands that ask for nothing keep nobody out. There is no limit for one address: many sites may share one.
 */
export class ConnectionTable {
  readonly #max: number;
  readonly #logger: Logger;
  /** From the first packet on, in order of arrival; most of them are in a TLS handshake only for a moment. */
  readonly #handshaking = new Map<string, Socket>();
  readonly #requests = new Map<Connection, number>();
  /** Those without a request, the one that has been so longest first. */
  readonly #idle = new Set<Connection>();
  #open = 0;

  constructor(max: number, logger: Logger) {
    this.#max = max;
    this.#logger = logger;
  }

  get open(): number {
    return this.#open;
  }

  connects(socket: Socket): void {
    const address = addressOf(socket);
    this.#open += 1;
    this.#handshaking.set(address, socket);
    socket.once('close', () => {
      this.#open -= 1;
      if (this.#handshaking.get(address) === socket) this.#handshaking.delete(address);
    });
    if (this.#open > this.#max) this.#makeRoom(socket);
  }

  handshakeEnds(socket: TLSSocket): void {
    this.#handshaking.delete(addressOf(socket));
  }

  /** It may ask for something from now on. */
  isReady(connection: Connection): void {
    this.#requests.set(connection, 0);
    this.#idle.add(connection);
  }

  requestBegins(connection: Connection): void {
    const count = this.#requests.get(connection);
    if (count === undefined) return;
    this.#requests.set(connection, count + 1);
    this.#idle.delete(connection);
  }

  requestEnds(connection: Connection): void {
    const count = this.#requests.get(connection);
    if (count === undefined) return;
    this.#requests.set(connection, count - 1);
    if (count === 1) this.#idle.add(connection);
  }

  isIdle(connection: Connection): boolean {
    return this.#idle.has(connection);
  }

  isClosed(connection: Connection): void {
    this.#requests.delete(connection);
    this.#idle.delete(connection);
  }

  #makeRoom(newcomer: Socket): void {
    const [victim] = this.#idle.size > 0 ? this.#idle : this.#handshaking.values();
    this.#logger.debug('too many connections: an idle one is closed', { open: this.#open });
    if (victim && victim !== newcomer) {
      this.#idle.delete(victim);
      victim.destroy();
    } else newcomer.destroy();
  }
}

const addressOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
