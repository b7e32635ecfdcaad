import type { JsonObject } from '@selvedge/api';
import { fieldOf, isObject } from '@selvedge/api';
import type { BmcAnswer, BmcHttp, BmcRequest } from '../bmc-http.ts';
import { LoginRefused, PowerError, type PowerLogin } from '../power-driver.ts';
import type { PowerQueue } from '../power-queues.ts';
import type { QuirkSet } from '../quirk-set.ts';
import { hasId, isForbidden, powerErrorOf, type Refusal, refusalOf } from './refusal.ts';

export interface RedfishVisitOptions {
  readonly http: BmcHttp;
  /** `https://host:port`. */
  readonly origin: URL;
  readonly login: PowerLogin;
  readonly queue: PowerQueue;
  readonly quirks: QuirkSet;
  readonly signal: AbortSignal;
}

export interface Resource {
  readonly path: string;
  readonly body: JsonObject;
  readonly etag: string | undefined;
}

const rootPath = '/redfish/v1/';
const mostRedirects = 3;
const farewellMs = 10_000;
/** When nobody waits for the visit any more. */
const hastyFarewellMs = 2_000;
/** References that are followed; a BMC has a handful. */
const mostMembers = 64;

/**
 * One visit to a Redfish service: logs in when first needed, ends its session. What the wire is like at this BMC (slashes, redirects, ETags, sessions) is dealt
 * with here. Paths begin with `/redfish/v1`.
 */
export class RedfishVisit {
  readonly #options: RedfishVisitOptions;
  #origin: URL;
  #root: JsonObject | undefined;
  #session: { token: string; path: string } | undefined;
  /** No session is to be had: the login goes with each request. */
  #isBasic = false;

  constructor(options: RedfishVisitOptions) {
    this.#options = options;
    this.#origin = options.origin;
  }

  /** The service root. It needs no login. */
  async root(): Promise<JsonObject> {
    if (this.#root) return this.#root;
    const answer = await this.#send({ method: 'GET', path: rootPath });
    const refusal = refusalOf(answer);
    if (refusal || !answer.isJson || typeof answer.body['@odata.id'] !== 'string') {
      const said = refusal ? `${refusal.status} ${refusal.message}`.trim() : 'no Redfish service root';
      throw new PowerError('Unavailable', `${this.#origin.host} does not answer as Redfish: ${said}`, {
        isPassing: true,
      });
    }
    this.#root = answer.body;
    return answer.body;
  }

  /** Throws PowerError. */
  async get(path: string): Promise<Resource> {
    const answer = await this.tryGet(path);
    const refusal = refusalOf(answer);
    if (refusal) throw powerErrorOf(refusal, `the BMC does not show ${path}`);
    return resourceOf(path, answer);
  }

  async tryGet(path: string): Promise<BmcAnswer> {
    const answer = await this.#authorized({ method: 'GET', path });
    if (answer.isJson) return answer;
    throw new PowerError('Unavailable', `${this.#origin.host} answers without JSON at ${path}`, {
      isPassing: true,
    });
  }

  /** @returns why it was refused; undefined: it was taken. */
  async post(path: string, body: object): Promise<Refusal | undefined> {
    return refusalOf(await this.#authorized({ method: 'POST', path, body }));
  }

  /**
   * Writes with the ETag that was read, or as the BMC wants it.
   * @returns why it was refused; undefined: it was taken.
   */
  async patch(resource: Resource, body: object): Promise<Refusal | undefined> {
    const { quirks } = this.#options;
    let refusal = await this.#patchWith(
      resource.path,
      body,
      quirks.has('EtagRefused') ? undefined : this.#tagOf(resource),
    );
    if (refusal?.status === 428) {
      quirks.found('EtagRequired');
      refusal = await this.#patchWith(resource.path, body, this.#tagOf(await this.get(resource.path)));
    }
    if (refusal?.status === 412 && !quirks.has('EtagRefused')) {
      const fresh = await this.get(resource.path);
      refusal = await this.#patchWith(resource.path, body, this.#tagOf(fresh));
      if (refusal?.status === 412 && fresh.etag?.startsWith('W/')) {
        refusal = await this.#patchWith(resource.path, body, fresh.etag.slice(2));
        if (refusal?.status !== 412) quirks.found('WeakEtagRefused');
      }
      if (refusal?.status === 412) {
        refusal = await this.#patchWith(resource.path, body, undefined);
        if (refusal?.status !== 412) quirks.found('EtagRefused');
      }
    }
    return refusal;
  }

  /** Ends the session, also when the visit was given up. Never throws. */
  async end(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    if (session) {
      const isGivenUp = this.#options.signal.aborted;
      const signal = AbortSignal.timeout(isGivenUp ? hastyFarewellMs : farewellMs);
      const headers = { 'x-auth-token': session.token };
      await this.#send({ method: 'DELETE', path: session.path, headers, signal }).catch(() => undefined);
    }
    this.#options.http.close();
  }

  #tagOf({ etag }: Resource): string | undefined {
    if (etag === undefined || etag === '') return undefined;
    return this.#options.quirks.has('WeakEtagRefused') && etag.startsWith('W/') ? etag.slice(2) : etag;
  }

  async #patchWith(path: string, body: object, etag: string | undefined): Promise<Refusal | undefined> {
    const headers = etag === undefined ? {} : { 'if-match': etag };
    return refusalOf(await this.#authorized({ method: 'PATCH', path, body, headers }));
  }

  async #authorized(call: Call): Promise<BmcAnswer> {
    const answer = await this.#send({
      ...call,
      headers: { ...call.headers, ...(await this.#authorization()) },
    });
    if (answer.status !== 401 || !this.#session) return answer;
    // The BMC forgot the session: once more with a new one.
    this.#session = undefined;
    return this.#send({ ...call, headers: { ...call.headers, ...(await this.#authorization()) } });
  }

  async #authorization(): Promise<Record<string, string>> {
    const { username, password } = this.#options.login;
    if (username === undefined || password === undefined) return {};
    if (!this.#session && !this.#isBasic) await this.#openSession({ username, password });
    if (this.#session) return { 'x-auth-token': this.#session.token };
    return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
  }

  async #openSession({ username, password }: { username: string; password: string }): Promise<void> {
    const { quirks } = this.#options;
    const path = quirks.has('NoSessions') ? undefined : sessionsPath(await this.root());
    this.#isBasic = path === undefined;
    if (path === undefined) return quirks.found('NoSessions');
    const body = { UserName: username, Password: password };
    const answer = await this.#send({ method: 'POST', path, body });
    const refusal = refusalOf(answer);
    const token = answer.headers['x-auth-token'];
    if (!refusal && typeof token === 'string') {
      const location = answer.headers.location ?? pathOf(answer.body) ?? path;
      this.#session = { token, path: URL.parse(location, this.#origin.href)?.pathname ?? path };
      return;
    }
    if (refusal && isForbidden(refusal))
      throw new LoginRefused(powerErrorOf(refusal, 'the BMC refused the login').message);
    if (refusal && hasId(refusal, 'SessionLimitExceeded')) quirks.found('FewSessions');
    this.#isBasic = true;
  }

  async #send(call: Call): Promise<BmcAnswer> {
    const { quirks } = this.#options;
    const path = quirks.has('TrailingSlash') ? withSlash(call.path) : call.path;
    const answer = await this.#follow({ ...call, path });
    if (answer.status !== 404 || path.endsWith('/')) return answer;
    const slashed = await this.#follow({ ...call, path: withSlash(path) });
    if (slashed.status === 404) return answer;
    quirks.found('TrailingSlash');
    return slashed;
  }

  async #follow(call: Call): Promise<BmcAnswer> {
    let url = this.#urlOf(call.path);
    let answer = await this.#once(call, url);
    for (let redirects = 0; isRedirect(answer) && redirects < mostRedirects; redirects += 1) {
      const next = URL.parse(answer.headers.location ?? '', url.href);
      const isSame = next?.origin === url.origin;
      const isUpgrade = next?.hostname === url.hostname && next.protocol === 'https:';
      if (!next || (!isSame && !isUpgrade)) {
        throw new PowerError(
          'Invalid',
          `${url.host} redirects to ${next?.host ?? 'nowhere'}: use that address, if it is the BMC`,
          {
            isPassing: false,
          },
        );
      }
      if (call.method !== 'GET') this.#options.quirks.found('Redirects');
      if (!isSame) this.#origin = new URL(next.origin);
      url = next;
      answer = await this.#once(call, url);
    }
    return answer;
  }

  async #once({ method, body, headers, signal = this.#options.signal }: Call, url: URL): Promise<BmcAnswer> {
    const { http, queue } = this.#options;
    const request: BmcRequest = {
      method,
      url,
      signal,
      ...(headers ? { headers } : {}),
      ...(body ? { body } : {}),
    };
    return queue.call(signal, () => http.request(request));
  }

  /** Paths come from the BMC: they lead nowhere else. */
  #urlOf(path: string): URL {
    const url = URL.parse(path, this.#origin.href);
    if (url && url.origin === this.#origin.origin) return url;
    throw new PowerError('Invalid', `${this.#origin.host} names an address outside itself`, {
      isPassing: false,
    });
  }
}

interface Call {
  readonly method: BmcRequest['method'];
  readonly path: string;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export function pathOf(value: unknown): string | undefined {
  const path = isObject(value) ? value['@odata.id'] : undefined;
  return typeof path === 'string' && path !== '' ? path : undefined;
}

/** Paths of the managers of a system. */
export function managersOf(system: JsonObject): string[] {
  const links = isObject(system['Links']) ? system['Links'] : {};
  return membersOf(links['ManagedBy']);
}

/** Paths in a list of references. */
export function membersOf(references: unknown): string[] {
  const list: unknown[] = Array.isArray(references) ? references : [];
  return list
    .slice(0, mostMembers)
    .map(pathOf)
    .filter((path) => path !== undefined);
}

function resourceOf(path: string, { body, headers }: BmcAnswer): Resource {
  const inBody = body['@odata.etag'];
  return { path, body, etag: headers.etag ?? (typeof inBody === 'string' ? inBody : undefined) };
}

function sessionsPath(root: JsonObject): string | undefined {
  const links = fieldOf(root, 'Links');
  return isObject(links) ? pathOf(links['Sessions']) : undefined;
}

function isRedirect({ status, headers }: BmcAnswer): boolean {
  return [301, 302, 307, 308].includes(status) && headers.location !== undefined;
}

function withSlash(path: string): string {
  return path.endsWith('/') ? path : `${path}/`;
}
