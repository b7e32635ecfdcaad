import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock } from '@selvedge/api';
import { FirmwareRoutes, type FirmwareRoutesOptions } from './firmware-routes.ts';
import { type Exchange, HttpRefusal, sendText } from './http-answer.ts';
import { SessionUnknown } from './machine-desk.ts';
import { MachineRoutes } from './machine-routes.ts';

export interface BootServerOptions extends FirmwareRoutesOptions {
  readonly clock: Clock;
}

export interface ListenAddress {
  readonly host: string;
  /** 0: any. */
  readonly port: number;
}

/**
 * The HTTP server that boxes boot from; all that it says is in inspection-wire.ts. It decides nothing: that is the desk's. Plain HTTP: whoever can read along on the provisioning network reads one-time nonces
 * and seeds. Hostile boxes can take up at most their share of connections, and bodies have limits.
 */
export class BootServer {
  readonly #o: BootServerOptions;
  readonly #firmware: FirmwareRoutes;
  readonly #machines: MachineRoutes;
  readonly #listeners = new Map<string, { server: Server; address: ListenAddress }>();
  readonly #problems = new Map<string, ListenAddress & { message: string }>();
  readonly #connections = new Map<string, number>();
  readonly #stop = new AbortController();
  readonly #changeListeners = new Set<() => void>();
  #wanted: readonly ListenAddress[] = [];
  #changing: Promise<void> = Promise.resolve();
  #retrying: Promise<void> | undefined;

  constructor(options: BootServerOptions) {
    this.#o = options;
    this.#firmware = new FirmwareRoutes(options);
    this.#machines = new MachineRoutes(options.desk);
  }

  /** Level-based. Resolves once each was tried; those that cannot be had (their interface is not up yet) are tried again until they can or are not wanted any more. */
  setListen(addresses: readonly ListenAddress[]): Promise<void> {
    this.#wanted = addresses;
    this.#changing = this.#changing.then(() => this.#listen());
    return this.#changing;
  }

  listenProblems(): readonly (ListenAddress & { message: string })[] {
    return [...this.#problems.values()];
  }

  /** Where it listens, with the real ports. */
  addresses(): readonly ListenAddress[] {
    return [...this.#listeners.values()].map(({ server }) => {
      const { address, port } = server.address() as AddressInfo;
      return { host: address, port };
    });
  }

  /** `listener` is called when an address came or went. */
  onChange(listener: () => void): void {
    this.#changeListeners.add(listener);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.setListen([]);
    await this.#retrying;
  }

  async #listen(): Promise<void> {
    const wanted = new Map(this.#wanted.map((address) => [keyOf(address), address]));
    for (const [key, { server }] of this.#listeners) {
      if (wanted.has(key)) continue;
      this.#listeners.delete(key);
      await closeServer(server);
    }
    this.#problems.clear();
    for (const [key, address] of wanted) {
      if (this.#listeners.has(key)) continue;
      try {
        this.#listeners.set(key, { server: await this.#open(address), address });
      } catch (error) {
        this.#problems.set(key, { ...address, message: explain(error as NodeJS.ErrnoException, address) });
      }
    }
    for (const listener of this.#changeListeners) listener();
    if (this.#problems.size > 0) this.#retryLater();
  }

  #retryLater(): void {
    this.#retrying ??= this.#o.clock.sleep(retryMs, this.#stop.signal).then(async () => {
      this.#retrying = undefined;
      if (!this.#stop.signal.aborted) await this.setListen(this.#wanted);
    });
  }

  async #open({ host, port }: ListenAddress): Promise<Server> {
    const server = createServer((req, res) => void this.#serve(req, res));
    server.maxConnections = mostConnections;
    server.headersTimeout = 20_000;
    server.requestTimeout = 120_000;
    server.keepAliveTimeout = 30_000;
    server.timeout = idleMs;
    server.on('connection', (socket) => this.#welcome(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
    server.on('error', (error) =>
      this.#o.logger.warn('the boot server has trouble with its port', { error }),
    );
    return server;
  }

  /** One box that opens connections without end must not keep the others from booting. */
  #welcome(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress);
    const count = (this.#connections.get(address) ?? 0) + 1;
    if (count > mostConnectionsEach) {
      socket.destroy();
      return;
    }
    this.#connections.set(address, count);
    socket.once('close', () => {
      const left = (this.#connections.get(address) ?? 1) - 1;
      if (left === 0) this.#connections.delete(address);
      else this.#connections.set(address, left);
    });
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    try {
      const signal = AbortSignal.any([gone.signal, this.#stop.signal]);
      const exchange = openExchange(req, res, { signal, isSigned: this.#o.signer !== undefined });
      const isServed = (await this.#firmware.serve(exchange)) || (await this.#machines.serve(exchange));
      if (!isServed) throw new HttpRefusal(404, 'there is no such path');
    } catch (error) {
      this.#refuse(req, res, error as Error);
    }
  }

  #refuse(req: IncomingMessage, res: ServerResponse, error: Error): void {
    const isGone = res.closed || res.destroyed || res.writableEnded;
    const code = error instanceof HttpRefusal ? error.code : error instanceof SessionUnknown ? 401 : 500;
    if (code === 500 && !isGone) {
      // Tokens stand in paths.
      const [, folder = ''] = (req.url ?? '').split('/');
      this.#o.logger.error('the boot server could not answer', { folder, error });
    }
    if (isGone || res.headersSent) {
      res.destroy();
      return;
    }
    // What is left of a body that was not read must not be taken for the next request.
    if (!req.complete) res.setHeader('connection', 'close');
    sendText(res, code, `${code === 500 ? 'the rack has trouble; ask again' : error.message}\n`);
  }
}

const mostConnections = 1024;
const mostConnectionsEach = 128;
/** Longer than the wait for a task. */
const idleMs = 60_000;
const retryMs = 5000;

function openExchange(
  req: IncomingMessage,
  res: ServerResponse,
  { signal, isSigned }: { signal: AbortSignal; isSigned: boolean },
): Exchange {
  const target = req.url ?? '/';
  if (!target.startsWith('/') || target.startsWith('//')) throw new HttpRefusal(400, 'a path is expected');
  if (!URL.canParse(target, 'http://rack')) throw new HttpRefusal(400, 'the path is not well-formed');
  const url = new URL(target, 'http://rack');
  return {
    req,
    res,
    url,
    address: plainAddress(req.socket.remoteAddress),
    // What is signed leads to this rack, whatever the asker calls it: else anybody has a script signed that leads to a rack of his own.
    rackUrl: isSigned ? ownUrl(req) : findRackUrl(req),
    signal,
  };
}

/** As the box named us (it may reach us through a forwarded port), else the address that it hit. Only this box sees what comes of it. */
function findRackUrl(req: IncomingMessage): string {
  const host = req.headers.host ?? '';
  if (/^([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(:\d{1,5})?$/.test(host)) return `http://${host}`;
  return ownUrl(req);
}

/** The address that was hit. */
function ownUrl(req: IncomingMessage): string {
  const address = plainAddress(req.socket.localAddress);
  return `http://${address.includes(':') ? `[${address}]` : address}:${req.socket.localPort}`;
}

const plainAddress = (address: string | undefined) => (address ?? '').replace(/^::ffff:(?=\d+\.)/i, '');

const keyOf = ({ host, port }: ListenAddress) => `${host} ${port}`;

function explain(error: NodeJS.ErrnoException, { host, port }: ListenAddress): string {
  switch (error.code) {
    case 'EADDRNOTAVAIL':
      return `this machine does not have the address ${host}; set it on the interface`;
    case 'EADDRINUSE':
      return `another program listens on ${host} port ${port}; stop it, or choose another port with --rack-listen`;
    case 'EACCES':
      return `no right to listen on ${host} port ${port}; run the agent as root or choose a port above 1023`;
    default:
      return `cannot listen on ${host} port ${port}: ${error.message}`;
  }
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
