import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { RedfishError } from './redfish-error.ts';

/** Who is logged in at an emulated BMC: sessions by token, or the login with each request. */
export class EmulatedSessions {
  readonly #login: { username: string; password: string };
  readonly #most: number;
  readonly #tokens = new Map<string, { readonly id: string; uses: number }>();
  #count = 0;

  constructor(login: { username: string; password: string }, most: number) {
    this.#login = login;
    this.#most = most;
  }

  get ids(): readonly string[] {
    return [...this.#tokens.values()].map(({ id }) => id);
  }

  open(username: unknown, password: unknown): { id: string; token: string } {
    if (!this.#isLogin(username, password))
      throw new RedfishError(401, 'Base.1.12.InsufficientPrivilege', 'The user name or password is wrong.');
    if (this.#tokens.size >= this.#most)
      throw new RedfishError(503, 'Base.1.12.SessionLimitExceeded', 'There are too many sessions.');
    const id = String(++this.#count);
    const token = randomBytes(16).toString('hex');
    this.#tokens.set(token, { id, uses: 0 });
    return { id, token };
  }

  close(id: string): boolean {
    const entry = [...this.#tokens].find(([, session]) => session.id === id);
    return entry !== undefined && this.#tokens.delete(entry[0]);
  }

  /** @param mostUses of a session, which is forgotten after it. */
  knows(headers: IncomingHttpHeaders, mostUses = Number.POSITIVE_INFINITY): boolean {
    const token = headers['x-auth-token'];
    if (typeof token === 'string') return this.#use(token, mostUses);
    const [scheme, encoded = ''] = (headers.authorization ?? '').split(' ');
    if (scheme?.toLowerCase() !== 'basic') return false;
    const [username, ...password] = Buffer.from(encoded, 'base64').toString().split(':');
    return this.#isLogin(username, password.join(':'));
  }

  #use(token: string, mostUses: number): boolean {
    const session = this.#tokens.get(token);
    if (session === undefined) return false;
    session.uses += 1;
    if (session.uses >= mostUses) this.#tokens.delete(token);
    return true;
  }

  #isLogin(username: unknown, password: unknown): boolean {
    return username === this.#login.username && password === this.#login.password;
  }
}
