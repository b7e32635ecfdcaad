import {
  Agent as HttpAgent,
  type ClientRequest,
  type IncomingMessage,
  request as httpRequest,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { StatusError } from '@selvedge/api';
import type { KubeAccess, KubeTls } from '@selvedge/kube';
import type { ApiRequest } from './kube-api.ts';

/** The API cannot be reached, or the connection broke off: nothing is known of what became of the request. */
export class ApiUnreachable extends StatusError {
  constructor(cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super('ServiceUnavailable', `the cluster's API cannot be reached: ${why}`, { cause });
  }
}

/** Until an answer begins; API servers give up after 60 s themselves. */
const answerMs = 65_000;
/** Kept for the next requests; each costs tens of kilobytes. An idle site asks for one object at a time. */
const keptSockets = 1;

/**
 * HTTP/1.1 to one API server on `node:https` alone (undici costs 14 MB of resident memory, measured): kept connections, credentials,
 * a limit on every wait.
 */
export class KubeConnection {
  readonly #access: KubeAccess;
  readonly #server: URL;
  #tls: KubeTls | undefined;
  #agent: HttpAgent | HttpsAgent | undefined;

  constructor(access: KubeAccess) {
    this.#access = access;
    this.#server = new URL(access.server);
  }

  /** Resolves when the answer begins, whatever its status. Throws ServiceUnavailable when there is none. */
  async send(request: ApiRequest, idleMs: number): Promise<IncomingMessage> {
    const authorization = await this.#access.authorization(request.signal);
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body));
    const options: RequestOptions = {
      agent: this.#currentAgent(),
      host: this.#server.hostname.replace(/^\[|\]$/g, ''),
      port: this.#server.port === '' ? undefined : Number(this.#server.port),
      method: request.method,
      path: this.#server.pathname.replace(/\/$/, '') + request.path + queryString(request.query),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
      headers: {
        accept: request.accept ?? 'application/json',
        'user-agent': 'selvedge-agent',
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined
          ? {}
          : { 'content-type': request.contentType ?? 'application/json', 'content-length': body.length }),
      },
    };
    const send = this.#server.protocol === 'http:' ? httpRequest : httpsRequest;
    try {
      return await answerOf(send(options), body, idleMs);
    } catch (error) {
      throw new ApiUnreachable(error);
    }
  }

  /** What the API answers with, whole. */
  async read(answer: IncomingMessage): Promise<string> {
    try {
      return Buffer.concat((await answer.toArray()) as Buffer[]).toString('utf8');
    } catch (error) {
      throw new ApiUnreachable(error);
    }
  }

  /** Ends kept connections; open requests fail. */
  close(): void {
    this.#agent?.destroy();
  }

  /** Client certificates are renewed now and then: new connections have to be made with the new one. */
  #currentAgent(): HttpAgent | HttpsAgent {
    const { tls } = this.#access;
    const isSame = this.#tls?.ca === tls.ca && this.#tls?.cert === tls.cert && this.#tls?.key === tls.key;
    if (this.#agent !== undefined && isSame) return this.#agent;
    this.#tls = tls;
    this.#agent = this.#makeAgent(tls);
    return this.#agent;
  }

  #makeAgent({ ca, cert, key, serverName, insecureSkipVerify }: KubeTls): HttpAgent | HttpsAgent {
    const kept = { keepAlive: true, maxFreeSockets: keptSockets };
    if (this.#server.protocol === 'http:') return new HttpAgent(kept);
    return new HttpsAgent({
      ...kept,
      maxCachedSessions: 1,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { servername: serverName }),
      // Without a list of its own Node would load all public authorities, for a check that nobody wants.
      ...(insecureSkipVerify === true ? { rejectUnauthorized: false, ca: ca ?? [] } : {}),
    });
  }
}

function answerOf(req: ClientRequest, body: Buffer | undefined, idleMs: number): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  req.setTimeout(answerMs, () => req.destroy(new Error('no answer in time')));
  req.on('error', reject);
  req.once('response', (answer) => {
    req.setTimeout(idleMs, () => answer.destroy(new Error('nothing came any more')));
    resolve(answer);
  });
  req.end(body);
  return promise;
}

function queryString(query: ApiRequest['query']): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, value);
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}
