import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { connect, type ClientHttp2Session } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { type LinkAccess, type Site, sites } from '@selvedge/api';
import { eventually, TestHub } from '../../gateway/testing/test-hub.ts';
import type { HubOptions } from '../../server/hub-options.ts';
import { FarEnd } from './far-end.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface Upgraded {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Absent when it was refused; then `text` says why. */
  readonly socket?: Duplex;
  readonly text?: string;
}

/** TLS of the admin kubeconfig in a data directory. */
export function adminTls(data: string): { ca: string; cert: string; key: string } {
  const config = JSON.parse(readFileSync(join(data, 'admin.kubeconfig'), 'utf8')) as {
    users: [{ user: Record<string, string> }];
  };
  const [{ user }] = config.users;
  const decode = (name: string) => Buffer.from(user[name] ?? '', 'base64').toString();
  return {
    ca: readFileSync(join(data, 'keys', 'ca.crt'), 'utf8'),
    cert: decode('client-certificate-data'),
    key: decode('client-key-data'),
  };
}

export const proxyPath = (site: string, rest: string): string =>
  `/apis/selvedge.dev/v1alpha1/sites/${site}/proxy${rest}`;

/** A person with the admin kubeconfig at one hub, over HTTP/1.1 and HTTP/2. */
export class Person {
  readonly url: string;
  readonly tls: ReturnType<typeof adminTls>;
  readonly #t: TestContext;

  constructor(t: TestContext, url: string, data: string) {
    this.url = url;
    this.tls = adminTls(data);
    this.#t = t;
  }

  /** Over HTTP/1.1. The answer as it comes. */
  open(
    path: string,
    {
      method = 'GET',
      headers = {},
      body = '',
    }: { method?: string; headers?: Record<string, string | string[]>; body?: string } = {},
  ): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const { hostname, port } = new URL(this.url);
    const req = httpsRequest(
      { host: hostname, port, path, method, headers, agent: false, ...this.tls },
      resolve,
    );
    req.on('error', reject);
    this.#t.after(() => req.destroy());
    req.end(body);
    return promise;
  }

  async ask(path: string, options: Parameters<Person['open']>[1] = {}): Promise<Answer> {
    const res = await this.open(path, options);
    return { status: res.statusCode ?? 0, headers: res.headers, text: await text(res) };
  }

  /** A session over HTTP/2. */
  http2(): ClientHttp2Session {
    const session = connect(this.url, this.tls);
    session.on('error', () => {});
    this.#t.after(() => session.destroy());
    return session;
  }

  /** Asks for an upgrade over HTTP/1.1. */
  upgrade(
    path: string,
    {
      protocol = 'websocket',
      method = 'GET',
      headers = {},
    }: { protocol?: string; method?: string; headers?: Record<string, string> } = {},
  ): Promise<Upgraded> {
    const { promise, resolve, reject } = Promise.withResolvers<Upgraded>();
    const { hostname, port } = new URL(this.url);
    const all = { connection: 'Upgrade', upgrade: protocol, ...headers };
    const req = httpsRequest({ host: hostname, port, path, method, headers: all, agent: false, ...this.tls });
    req.on('error', reject);
    req.on('upgrade', (res, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      socket.on('error', () => {});
      this.#t.after(() => socket.destroy());
      resolve({ status: res.statusCode ?? 0, headers: res.headers, socket });
    });
    req.on('response', (res) => {
      void text(res).then((refusal) =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, text: refusal }),
      );
    });
    req.end();
    return promise;
  }
}

export interface LinkLab {
  readonly hub: TestHub;
  readonly far: FarEnd;
  readonly person: Person;
  readonly setLink: (link: LinkAccess) => Promise<Site>;
}

/** A hub with one site `shop`, whose agent polls and opens its link when asked. */
export async function startLinkLab(
  t: TestContext,
  { link = 'Full', options = {} }: { link?: LinkAccess; options?: Partial<HubOptions> } = {},
): Promise<LinkLab> {
  const hub = await TestHub.start(t, options);
  const agent = await hub.enrolledAgent('shop');
  const person = new Person(t, hub.hub.url, hub.data);
  const far = new FarEnd(agent, person.tls.ca);
  t.after(() => far.stop());
  const setLink = (access: LinkAccess) =>
    hub.hub.client.mergePatch<Site>(sites, { name: 'shop' }, { spec: { link: access } });
  await setLink(link);
  far.poll();
  await eventually(async () => /^selvedge_gateway_open_polls 1$/m.test((await person.ask('/metrics')).text));
  return { hub, far, person, setLink };
}
