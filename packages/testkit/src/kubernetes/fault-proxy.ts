import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { loopbackCertificate } from '../loopback-certificate.ts';

/** A request on its way to the API. */
export interface PassingRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** It changes something: no reading, no dry run, no review of permissions. */
  readonly isWrite: boolean;
}

/** What happens to it instead of being passed on at once; undefined: nothing. */
export type Fault =
  | {
      readonly answer: number;
      readonly reason?: string;
      readonly message?: string;
      readonly retryAfterSeconds?: number;
    }
  /** The connection breaks: before the API gets it, or after the API has done it. */
  | 'break before'
  | 'break after'
  /** No answer ever. */
  | 'hang'
  | { readonly delayMs: number };

export type FaultRule = (request: PassingRequest) => Fault | undefined;

/** Stands between a client and a Kubernetes API: ends TLS with its own certificate, passes requests on, and does to them what its rule says. */
export class FaultProxy {
  readonly url: string;
  /** PEM. */
  readonly ca: string;
  /** What came in, in order, also what did not get through. */
  readonly requests: PassingRequest[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #agent: Agent;
  readonly #target: string;
  #rule: FaultRule = () => undefined;
  #isCut = false;
  /** The next break is a cut. */
  #cutsOnBreak = false;

  private constructor(server: Server, certificate: string, target: { url: string; ca: string }) {
    this.#server = server;
    this.ca = certificate;
    this.#target = target.url;
    this.#agent = new Agent({ keepAlive: true, ca: target.ca });
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('secureConnection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
      if (this.#isCut) socket.destroy();
    });
    server.on('request', (req: IncomingMessage, res: ServerResponse) => {
      this.#serve(req, res).catch(() => res.destroy());
    });
  }

  /** Before an API; clients trust `ca` of the proxy and show the API's own tokens. */
  static async start(target: { readonly url: string; readonly ca: string }): Promise<FaultProxy> {
    const { key, certificate } = await loopbackCertificate();
    const server = createServer({ key, cert: certificate });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new FaultProxy(server, certificate, target);
  }

  /** From now on; open watches go on. */
  setRule(rule: FaultRule): void {
    this.#rule = rule;
  }

  /** Breaks all connections, and every one that comes, until `restore`. */
  cut(): void {
    this.#isCut = true;
    this.breakConnections();
  }

  /** Those that are open now, watches too. */
  breakConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  restore(): void {
    this.#isCut = false;
    this.#rule = () => undefined;
  }

  /** Cuts when the `count`-th write comes: before the API gets it, or after it has done it. */
  cutAtWrite(count: number, when: 'before' | 'after'): { readonly isCut: () => boolean } {
    let writes = 0;
    this.setRule(({ isWrite }) => {
      if (!isWrite) return undefined;
      writes += 1;
      return writes === count ? (when === 'before' ? 'break before' : 'break after') : undefined;
    });
    this.#cutsOnBreak = true;
    return { isCut: () => this.#isCut };
  }

  async close(): Promise<void> {
    this.cut();
    this.#agent.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const passing = read(req);
    this.requests.push(passing);
    const fault = this.#rule(passing);
    if (fault === 'hang') return;
    if (fault === 'break before') return this.#break(res);
    if (typeof fault === 'object' && 'answer' in fault) return answer(res, fault);
    if (typeof fault === 'object') await wait(fault.delayMs);
    this.#pass(req, res, fault === 'break after');
  }

  #pass(req: IncomingMessage, res: ServerResponse, breaksAfter: boolean): void {
    const { host: _host, ...headers } = req.headers;
    const options = { method: req.method ?? 'GET', headers, agent: this.#agent };
    const forwarded = request(`${this.#target}${req.url}`, options, (answered) => {
      if (breaksAfter) {
        answered.resume();
        answered.once('end', () => this.#break(res));
        return;
      }
      res.writeHead(answered.statusCode ?? 502, answered.rawHeaders);
      res.flushHeaders();
      answered.pipe(res);
      answered.once('error', () => res.destroy());
    });
    forwarded.once('error', () => res.destroy());
    res.once('close', () => forwarded.destroy());
    req.pipe(forwarded);
  }

  #break(res: ServerResponse): void {
    res.destroy();
    if (!this.#cutsOnBreak) return;
    this.#cutsOnBreak = false;
    this.cut();
  }
}

function read(req: IncomingMessage): PassingRequest {
  const url = new URL(req.url ?? '/', 'https://cluster.example');
  const { method = 'GET' } = req;
  const isReview = url.pathname.endsWith('reviews');
  const isWrite = method !== 'GET' && !url.searchParams.has('dryRun') && !isReview;
  return { method, path: url.pathname, query: url.searchParams, isWrite };
}

function answer(res: ServerResponse, fault: Extract<Fault, { answer: number }>): void {
  const {
    answer: code,
    reason = 'InternalError',
    message = 'a fault of the test',
    retryAfterSeconds,
  } = fault;
  res.writeHead(code, {
    'content-type': 'application/json',
    ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
  });
  res.end(
    JSON.stringify({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      reason,
      message,
      code,
    }),
  );
}
