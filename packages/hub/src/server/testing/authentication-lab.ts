import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Clock } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import {
  type Authority,
  type IssuedCertificate,
  issueAuthority,
  issueClientCertificate,
  issueServerCertificate,
} from '../../identity/issue-certificates.ts';
import type { HubOptions } from '../hub-options.ts';
import { type Hub, startHub } from '../start-hub.ts';

/** The machine's clock, moved by an offset; short waits are much shorter, so that changed files are seen soon. */
export class HastyClock implements Clock {
  offsetMilliseconds = 0;

  now(): Date {
    return new Date(systemClock.now().getTime() + this.offsetMilliseconds);
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(milliseconds <= 6_000 ? milliseconds / 100 : milliseconds, signal);
  }
}

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown> & { message: string };
}

/** A hub, and certificates from elsewhere. */
export class AuthenticationLab {
  readonly directory: string;
  readonly data: string;
  readonly clock = new HastyClock();
  /** Lines of the hub's log. */
  readonly lines: Record<string, unknown>[] = [];
  readonly #t: TestContext;
  #hub: Hub | undefined;

  constructor(t: TestContext) {
    this.#t = t;
    this.directory = mkdtempSync(join(tmpdir(), 'selvedge-authentication-'));
    this.data = join(this.directory, 'data');
    t.after(async () => {
      await this.stop();
      rmSync(this.directory, { recursive: true });
    });
  }

  async start(options: Partial<HubOptions> = {}): Promise<Hub> {
    const destination = { write: (line: string) => void this.lines.push(JSON.parse(line)) };
    const logger = createLogger({ level: 'info', destination });
    this.#hub = await startHub({
      data: this.data,
      listen: '127.0.0.1:0',
      logger,
      clock: this.clock,
      ...options,
    });
    return this.#hub;
  }

  async stop(): Promise<void> {
    const hub = this.#hub;
    this.#hub = undefined;
    await hub?.close();
  }

  get hub(): Hub {
    if (!this.#hub) throw new Error('the hub is stopped');
    return this.#hub;
  }

  file(name: string): string {
    return join(this.directory, name);
  }

  newAuthority(): Promise<Authority> {
    return issueAuthority('elsewhere', this.clock.now());
  }

  newServerCertificate(authority: Authority, names: readonly string[]): Promise<IssuedCertificate> {
    return issueServerCertificate(authority, names, this.clock.now());
  }

  newClientCertificate(
    authority: Authority,
    user: { name: string; groups: readonly string[] },
    lifeMilliseconds = 3_600_000,
  ): Promise<IssuedCertificate> {
    return issueClientCertificate(authority, user, { now: this.clock.now(), lifeMilliseconds });
  }

  /** The hub's own authority. */
  get ownAuthority(): Authority {
    const read = (name: string) => readFileSync(join(this.data, 'keys', name), 'utf8');
    return { key: read('ca.key'), certificate: read('ca.crt') };
  }

  /** An HTTP/2 connection that stays open. */
  connect(client?: IssuedCertificate): ClientHttp2Session {
    const identity = client ? { key: client.key, cert: client.certificate } : {};
    const session = connect(this.hub.url, { rejectUnauthorized: false, ...identity });
    session.on('error', () => {});
    this.#t.after(() => session.destroy());
    return session;
  }

  /** Who the hub says that we are; 401 with the reason when it does not know. */
  async whoAmI(session: ClientHttp2Session, token?: string): Promise<Answer> {
    return send(session, {
      path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
      token,
    });
  }

  async whoIs(token: string): Promise<Answer> {
    const session = this.connect();
    try {
      return await this.whoAmI(session, token);
    } finally {
      session.close();
    }
  }
}

export const userOf = ({ body }: Answer): { username: string; groups: string[] } =>
  (body['status'] as { userInfo: { username: string; groups: string[] } }).userInfo;

interface Sent {
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string | undefined;
}

/** A POST with a body, a GET without. */
export function send(session: ClientHttp2Session, { path, body, token }: Sent): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': body === undefined ? 'GET' : 'POST',
      ':path': path,
      'content-type': 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    });
    let status = 0;
    let text = '';
    stream.on('response', (headers) => {
      status = headers[':status'] ?? 0;
    });
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    stream.on('end', () => resolve({ status, body: JSON.parse(text) as Answer['body'] }));
    stream.on('error', reject);
    stream.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Polls until the check holds; the deadline is generous because machines are slow at times. */
export async function eventually<T>(check: () => Promise<T | undefined | false>): Promise<T> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const found = await check();
    if (found !== undefined && found !== false) return found;
    await systemClock.sleep(50);
  }
  throw new Error('it did not come true within 30 s');
}
