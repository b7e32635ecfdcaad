import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps, type RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { openTunnel, unbracket, waitForSocket } from '../hub-connection/open-tunnel.ts';
import type { ProxySettings } from '../hub-connection/proxy-settings.ts';
import { publicCertificates } from '../hub-connection/server-trust.ts';

export interface RegistryTransportOptions {
  readonly proxies: ProxySettings;
  /** CAs (PEM, one each) beside those that this machine trusts. */
  readonly extraCas: readonly string[];
  /** `host[:port]` of registries without TLS, or with a certificate that nobody knows. */
  readonly insecureRegistries: readonly string[];
  readonly connectTimeoutMs?: number;
  /** Longest silence until an answer begins. */
  readonly answerTimeoutMs?: number;
}

export interface TransportRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** HTTP to registries, through the proxy of this machine where there is one. Knows nothing of images. */
export class RegistryTransport {
  readonly #insecure: ReadonlySet<string>;
  readonly #answerTimeoutMs: number;
  readonly #secureAgent: TunnelAgent;
  readonly #laxAgent: TunnelAgent;
  readonly #plainAgent = new HttpAgent({ keepAlive: true, maxFreeSockets: keptConnections });

  constructor(options: RegistryTransportOptions) {
    this.#insecure = new Set(options.insecureRegistries);
    this.#answerTimeoutMs = options.answerTimeoutMs ?? 30_000;
    this.#secureAgent = new TunnelAgent(options, { isProven: true });
    this.#laxAgent = new TunnelAgent(options, { isProven: false });
  }

  /** May this `host[:port]` be spoken to without TLS, and without a proof that it is who it says? */
  isInsecure(host: string): boolean {
    return this.#insecure.has(host);
  }

  /** The beginning of the answer, of any status; the caller reads or destroys it. Rejects with the error of the network. */
  open({ url, headers, signal }: TransportRequest): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const isPlain = url.protocol === 'http:';
    const agent = isPlain ? this.#plainAgent : this.isInsecure(url.host) ? this.#laxAgent : this.#secureAgent;
    const outgoing = (isPlain ? requestHttp : requestHttps)({
      agent,
      host: unbracket(url.hostname),
      port: Number(url.port) || (isPlain ? 80 : 443),
      path: url.pathname + url.search,
      headers: { host: url.host, ...headers },
      signal,
    });
    outgoing.setTimeout(this.#answerTimeoutMs, () => outgoing.destroy(new Error('no answer in time')));
    outgoing.on('error', reject);
    outgoing.once('response', (incoming) => {
      // From here on whoever reads watches for silence: a reader that waits on purpose is none.
      outgoing.setTimeout(0);
      resolve(incoming);
    });
    outgoing.end();
    return promise;
  }

  /** Closes every connection; what is under way is cut. Can be used again. */
  close(): void {
    for (const agent of [this.#secureAgent, this.#laxAgent, this.#plainAgent]) agent.destroy();
  }
}

const keptConnections = 3;

class TunnelAgent extends HttpsAgent {
  readonly #tunnel: RegistryTransportOptions;
  readonly #isProven: boolean;

  constructor(options: RegistryTransportOptions, { isProven }: { isProven: boolean }) {
    super({ keepAlive: true, maxFreeSockets: keptConnections, maxCachedSessions: 0 });
    this.#tunnel = options;
    this.#isProven = isProven;
  }

  override createConnection(
    options: RequestOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    this.#connect({ host: String(options.host), port: Number(options.port) }).then(
      (socket) => callback?.(null, socket),
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
    return undefined;
  }

  async #connect(target: { host: string; port: number }): Promise<TLSSocket> {
    const { proxies, extraCas, connectTimeoutMs = 15_000 } = this.#tunnel;
    const wait = { timeoutMs: connectTimeoutMs, signal: new AbortController().signal };
    const proxy = proxies.findProxy(target);
    const tunnel = await openTunnel({ ...target, proxy, proxyCas: extraCas, ...wait });
    const socket = connectTls({
      socket: tunnel,
      host: target.host,
      ca: [...publicCertificates(), ...extraCas],
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: this.#isProven,
      ...(isIP(target.host) ? {} : { servername: target.host }),
    });
    await waitForSocket(socket, 'secureConnect', { ...wait, what: `TLS with ${target.host}:${target.port}` });
    return socket;
  }
}
