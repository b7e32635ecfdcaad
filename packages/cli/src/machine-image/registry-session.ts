import { createReadStream } from 'node:fs';
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { StatusError } from '@selvedge/api';
import type { RegistryAccess } from './registry-access.ts';

/** Bytes of a file, or some that are here. */
export type RegistryBody =
  | Uint8Array
  | { readonly path: string; readonly start: number; readonly length: number };

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT';
  /** At the registry: `/v2/…`; or where it said that something goes on. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: RegistryBody;
  /** Called with the bytes of the body that went out. */
  readonly onSent?: (bytes: number) => void;
}

export interface RegistryAnswer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** The beginning, for messages and tokens. */
  readonly text: string;
}

const silenceMs = 60_000;
const longestAnswer = 256 * 1024;

/** Requests to one repository of a registry, with whatever proof it wants: a certificate, a login, or a token for that (https://distribution.github.io/distribution/spec/auth/token). */
export class RegistrySession implements AsyncDisposable {
  readonly #access: RegistryAccess;
  readonly #repository: string;
  readonly #signal: AbortSignal;
  readonly #secure: HttpsAgent;
  readonly #plain = new HttpAgent({ keepAlive: true });
  #authorization: string | undefined;

  constructor(access: RegistryAccess, { repository, signal }: { repository: string; signal: AbortSignal }) {
    this.#access = access;
    this.#repository = repository;
    this.#signal = signal;
    this.#authorization = access.authorization;
    this.#secure = new HttpsAgent({ keepAlive: true, ALPNProtocols: ['http/1.1'], ...access.tls });
  }

  get server(): string {
    return this.#access.server;
  }

  /** The answer of any status but 401. Throws StatusError Unauthorized, the error of the network, or with the signal. */
  async ask(request: RegistryRequest): Promise<RegistryAnswer> {
    for (let tries = 0; ; tries++) {
      const url = new URL(request.url, this.server);
      // Nobody but the registry gets what proves who we are.
      const isHere = url.origin === new URL(this.server).origin;
      const authorization = isHere ? this.#authorization : undefined;
      const answer = await this.#send(url, request, authorization);
      if (answer.status !== 401) return answer;
      if (tries === 2 || !isHere) throw this.#refused();
      await this.#authorize(answer, tries > 0);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#secure.destroy();
    this.#plain.destroy();
  }

  async #authorize({ headers }: RegistryAnswer, wasRefused: boolean): Promise<void> {
    const challenge = headers['www-authenticate'] ?? '';
    const { login } = this.#access;
    const basic = login && `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
    const realm = /^bearer\s.*\brealm="([^"]+)"/i.exec(challenge)?.[1];
    if (realm === undefined) {
      if (basic === undefined || wasRefused) throw this.#refused();
      this.#authorization = basic;
      return;
    }
    // A token of the hub that it does not take is not handed on to where others get theirs.
    if (this.#access.authorization !== undefined) throw this.#refused();
    const service = /\bservice="([^"]*)"/.exec(challenge)?.[1];
    const url = new URL(realm, this.server);
    if (url.protocol !== 'https:' && new URL(this.server).protocol === 'https:') throw this.#refused();
    url.searchParams.set('scope', `repository:${this.#repository}:pull,push`);
    if (service !== undefined) url.searchParams.set('service', service);
    const answer = await this.#send(url, { method: 'GET', url: url.href }, basic);
    const token = tokenIn(answer.text);
    if (answer.status !== 200 || token === undefined) throw this.#refused();
    this.#authorization = `Bearer ${token}`;
  }

  #refused(): StatusError {
    const who = this.#access.login === undefined ? 'without a login' : `as ${this.#access.login.username}`;
    return new StatusError(
      'Unauthorized',
      `${this.server} does not let ${who} push ${this.#repository}: log in with a name and password, or a token, that may push there`,
    );
  }

  async #send(
    url: URL,
    request: RegistryRequest,
    authorization: string | undefined,
  ): Promise<RegistryAnswer> {
    const { method, headers = {}, body, onSent } = request;
    const isPlain = url.protocol === 'http:';
    const length = body === undefined ? 0 : body.length;
    const outgoing = (isPlain ? requestHttp : requestHttps)(url, {
      method,
      agent: isPlain ? this.#plain : this.#secure,
      signal: this.#signal,
      headers: {
        ...headers,
        ...(method === 'GET' || method === 'HEAD' ? {} : { 'content-length': length }),
        ...(authorization === undefined ? {} : { authorization }),
      },
    });
    outgoing.setTimeout(silenceMs, () => outgoing.destroy(new Error(`${this.server} is silent`)));
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.on('error', reject);
    });
    answered.catch(() => {});
    if (body === undefined || body instanceof Uint8Array) outgoing.end(body);
    else {
      const { path, start } = body;
      const file = createReadStream(path, { start, end: start + length - 1, highWaterMark: 256 * 1024 });
      if (onSent !== undefined) file.on('data', (chunk) => onSent(chunk.length));
      // A registry that refuses before it has all says why in its answer.
      await Promise.race([pipeline(file, outgoing), answered]).catch(() => {});
      if (file.errored && !outgoing.errored) throw file.errored;
    }
    const incoming = await answered;
    const text = await readText(incoming);
    // What was not sent is not wanted any more.
    if (!outgoing.writableFinished) outgoing.destroy();
    return { status: incoming.statusCode ?? 0, headers: incoming.headers, text };
  }
}

async function readText(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= longestAnswer) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function tokenIn(text: string): string | undefined {
  try {
    const { token, access_token: other } = JSON.parse(text) as { token?: unknown; access_token?: unknown };
    const found = token ?? other;
    return typeof found === 'string' ? found : undefined;
  } catch {
    return undefined;
  }
}
