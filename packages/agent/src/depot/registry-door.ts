import type { IncomingMessage } from 'node:http';
import type { ImageReference } from '@selvedge/api';
import { DepotError } from './depot.ts';
import { toDepotError } from './depot-error.ts';
import type { RegistryTransport } from './registry-transport.ts';
import { readLimited } from './read-limited.ts';

export interface DoorRequest {
  /** Below `/v2/<repository>/`: `manifests/1.2`, `blobs/sha256:…`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Where one repository of a registry is read from. */
export interface RegistryDoor {
  /** For messages. */
  readonly registry: string;
  /** The beginning of the answer, of any status but 401 and 403; the caller reads or destroys it. Throws DepotError. */
  open(request: DoorRequest): Promise<IncomingMessage>;
}

export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
}

export interface LoginQuestion {
  /** The registry refused the login that was given before. */
  readonly isRefused: boolean;
  readonly signal: AbortSignal;
}

export interface HttpRegistryDoorOptions {
  readonly transport: RegistryTransport;
  readonly reference: ImageReference;
  /** Undefined: the registry is asked as nobody in particular. */
  readonly findLogin: (question: LoginQuestion) => Promise<RegistryLogin | undefined>;
}

const longestTokenBytes = 256 * 1024;
const mostRedirects = 5;

/** Of a server: it has a status. */
type Answer = IncomingMessage & { readonly statusCode: number };

interface FollowedAnswer {
  readonly answer: Answer;
  /** It comes from another host than the registry, to which that led. */
  readonly isElsewhere: boolean;
}

/**
 * A registry that speaks the OCI distribution API, with tokens (https://distribution.github.io/distribution/spec/auth/token), logins and redirects to where
 * blobs are kept.
 */
export class HttpRegistryDoor implements RegistryDoor {
  readonly registry: string;
  readonly #o: HttpRegistryDoorOptions;
  #authorization: string | undefined;
  /** Not asked as nobody in particular. */
  #hasLogin = false;
  #scheme: 'http:' | 'https:' | undefined;
  /** Parts of one image are fetched at once: one of them asks for the token. */
  #authorizing: Promise<void> | undefined;

  constructor(options: HttpRegistryDoorOptions) {
    this.#o = options;
    this.registry = options.reference.registry;
  }

  async open(request: DoorRequest): Promise<IncomingMessage> {
    let isForbidden = false;
    for (let given = 0; ; ) {
      const authorization = this.#authorization;
      const { answer, isElsewhere } = await this.#ask(request, authorization);
      if (answer.statusCode !== 401 && answer.statusCode !== 403) return answer;
      answer.resume();
      if (isElsewhere) throw this.#refusedElsewhere(answer.statusCode);
      if (answer.statusCode === 403) {
        if (authorization === undefined || isForbidden) throw this.#denied();
        // ECR, for one, answers so when a login that was good has expired: asked as nobody, it says again what it wants.
        isForbidden = true;
        if (this.#authorization === authorization) this.#authorization = undefined;
        continue;
      }
      // Once for the first token, once more for one that has expired or a login that was changed.
      if (given === mostGiven) throw this.#denied();
      const isRefused = given > 0 || isForbidden;
      await this.#authorize(answer, authorization, { isRefused, signal: request.signal });
      given += 1;
    }
  }

  /** What another host asks for is never given to it: the address that it was reached by has run out, or is not the registry's. */
  #refusedElsewhere(status: number): DepotError {
    const message = `${this.registry} leads to another host for its blobs, and that refuses them (${status})`;
    return new DepotError('Unavailable', message, { isLasting: false });
  }

  #denied(): DepotError {
    const { registry, repository } = this.#o.reference;
    const wantsLogin = !this.#hasLogin;
    const hint = wantsLogin
      ? 'it wants a login; make a RegistryCredential for it'
      : 'check that its RegistryCredential may read there';
    const message = `${registry} refuses ${repository}: ${hint}`;
    return new DepotError('Denied', message, { isLasting: true, wantsLogin });
  }

  async #ask(request: DoorRequest, authorization: string | undefined): Promise<FollowedAnswer> {
    const { reference, transport } = this.#o;
    const { registry, host, repository } = reference;
    const path = `/v2/${repository}/${request.path}`;
    const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) };
    const ask = { headers, signal: request.signal };
    try {
      if (this.#scheme !== undefined || !transport.isInsecure(host)) {
        return await this.#follow(new URL(`${this.#scheme ?? 'https:'}//${host}${path}`), ask);
      }
      return await this.#findScheme(path, ask);
    } catch (error) {
      request.signal.throwIfAborted();
      throw toDepotError(error, `${registry} cannot be reached`);
    }
  }

  /** As Podman does: with TLS if it has that, whatever its certificate. */
  async #findScheme(
    path: string,
    ask: { headers: Readonly<Record<string, string>>; signal: AbortSignal },
  ): Promise<FollowedAnswer> {
    const { host } = this.#o.reference;
    try {
      // Nothing secret is sent before it is known how.
      const answer = await this.#o.transport.open({
        url: new URL(`https://${host}/v2/`),
        headers: {},
        signal: ask.signal,
      });
      answer.resume();
      this.#scheme = 'https:';
    } catch {
      ask.signal.throwIfAborted();
      const answer = await this.#follow(new URL(`http://${host}${path}`), ask);
      this.#scheme = 'http:';
      return answer;
    }
    return await this.#follow(new URL(`https://${host}${path}`), ask);
  }

  async #follow(
    start: URL,
    ask: { headers: Readonly<Record<string, string>>; signal: AbortSignal },
  ): Promise<FollowedAnswer> {
    const { transport } = this.#o;
    let url = start;
    let { headers } = ask;
    let isElsewhere = false;
    for (let followed = 0; ; followed++) {
      const answer = await transport.open({ url, headers, signal: ask.signal });
      const { location } = answer.headers;
      if (!redirects.has(answer.statusCode ?? 0) || location === undefined) {
        return { answer: answer as Answer, isElsewhere };
      }
      answer.resume();
      const next = URL.parse(location, url.href);
      const isWeaker = next?.protocol !== 'https:' && url.protocol === 'https:';
      const isWeb = next?.protocol === 'https:' || next?.protocol === 'http:';
      if (next === null || !isWeb || (isWeaker && !transport.isInsecure(next.host))) {
        throw new Error('it leads to an address that is not followed');
      }
      if (followed === mostRedirects) throw new Error(`it leads on and on (${mostRedirects} times)`);
      if (next.host !== url.host) {
        isElsewhere = true;
        const { authorization: _own, ...rest } = headers;
        headers = rest;
      }
      url = next;
    }
  }

  async #authorize(
    answer: IncomingMessage,
    former: string | undefined,
    question: LoginQuestion,
  ): Promise<void> {
    // Another part of the image has done so meanwhile.
    if (this.#authorization !== former) return;
    this.#authorizing ??= this.#renew(answer, question).finally(() => {
      this.#authorizing = undefined;
    });
    await this.#authorizing;
  }

  async #renew(answer: IncomingMessage, { isRefused, signal }: LoginQuestion): Promise<void> {
    const login = await this.#findLogin({ isRefused, signal });
    const challenge = parseChallenge(answer.headers['www-authenticate'] ?? '');
    if (challenge?.scheme === 'bearer') {
      const { fields } = challenge;
      let token = await this.#fetchToken(fields, { login, signal });
      if (token === undefined && login !== undefined && !isRefused) {
        const other = await this.#findLogin({ isRefused: true, signal });
        token = await this.#fetchToken(fields, { login: other, signal });
      }
      if (token === undefined) throw this.#denied();
      this.#authorization = `Bearer ${token}`;
      return;
    }
    if (login === undefined || challenge?.scheme !== 'basic') throw this.#denied();
    this.#authorization = basic(login);
  }

  async #findLogin(question: LoginQuestion): Promise<RegistryLogin | undefined> {
    try {
      const login = await this.#o.findLogin(question);
      this.#hasLogin = login !== undefined;
      return login;
    } catch (error) {
      question.signal.throwIfAborted();
      throw toDepotError(error, `there is no login for ${this.registry} now`);
    }
  }

  /** Undefined: the registry refuses the login, or wants one. */
  async #fetchToken(
    fields: ReadonlyMap<string, string>,
    { login, signal }: { login: RegistryLogin | undefined; signal: AbortSignal },
  ): Promise<string | undefined> {
    const { transport, reference } = this.#o;
    const { registry, repository } = reference;
    const url = URL.parse(fields.get('realm') ?? '');
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && this.#scheme === 'http:');
    if (url === null || !isSafe || url.username !== '') {
      throw new DepotError('Denied', `${registry} names no safe place for its tokens`, { isLasting: true });
    }
    const service = fields.get('service');
    if (service !== undefined) url.searchParams.set('service', service);
    url.searchParams.set('scope', `repository:${repository}:pull`);
    const headers = login === undefined ? {} : { authorization: basic(login) };
    let status: number;
    let text: string;
    try {
      const answer = await transport.open({ url, headers, signal });
      status = answer.statusCode ?? 0;
      text = (await readLimited(answer, longestTokenBytes)).toString('utf8');
    } catch (error) {
      signal.throwIfAborted();
      throw toDepotError(error, `the token of ${registry} cannot be had`);
    }
    if (status === 401 || status === 403) return undefined;
    const token = status === 200 ? parseToken(text) : undefined;
    if (token !== undefined) return token;
    throw new DepotError('Unavailable', `${registry} hands out no token now (${status})`, {
      isLasting: false,
    });
  }
}

const mostGiven = 2;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

function basic({ username, password }: RegistryLogin): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** RFC 7235, as registries write it. */
function parseChallenge(text: string): { scheme: string; fields: ReadonlyMap<string, string> } | undefined {
  const [, scheme, rest = ''] = /^\s*(\w+)\b(.*)$/s.exec(text.slice(0, 4000)) ?? [];
  if (scheme === undefined) return undefined;
  const pairs = [...rest.matchAll(/(\w+)="([^"]*)"/g)].map(
    ([, key = '', value = '']) => [key, value] as const,
  );
  return { scheme: scheme.toLowerCase(), fields: new Map(pairs) };
}

function parseToken(text: string): string | undefined {
  try {
    const { token, access_token: accessToken } = JSON.parse(text) as Record<string, unknown>;
    const found = token ?? accessToken;
    return typeof found === 'string' && /^[\x21-\x7e]+$/.test(found) ? found : undefined;
  } catch {
    return undefined;
  }
}
