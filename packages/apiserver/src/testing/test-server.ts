import { createServer } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock, Logger, ObjectClient } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import { type ObjectStore, openSqliteStore, type Store } from '@selvedge/store';
import { type ApiServer, type ApiServerOptions, createApiServer } from '../api-server.ts';
import { sampleDefinitions } from './sample-definitions.ts';

export const admin = { name: 'admin', groups: ['system:masters'] };

export interface TestServer {
  readonly api: ApiServer;
  readonly client: ObjectClient;
  readonly store: Store;
  readonly url: string;
  request(method: string, path: string, options?: RequestOptions): Promise<TestAnswer>;
  /** The same data under a new server. */
  restart(): Promise<TestServer>;
  close(): Promise<void>;
}

export interface RequestOptions {
  /** A text is sent as it is, anything else as JSON. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Record<string, unknown> & { message: string };
}

type Definitions = ApiServerOptions['definitions'];

interface TestServerOptions {
  /** Or what makes them, for kinds that read the store. */
  readonly definitions?: Definitions | ((store: ObjectStore) => Definitions);
  readonly clock?: Clock;
  readonly directory?: string;
  readonly logger?: Logger;
  /** Default: SQLite in `directory`. */
  readonly openStore?: () => Promise<Store>;
  readonly server?: Partial<Pick<ApiServerOptions, 'limits' | 'audit' | 'endpoints' | 'healthChecks'>>;
}

/**
 * A server over a real store in a new folder, reached over HTTP without TLS. The header `x-user` says who asks (`none`:
 * nobody; absent: the admin), `x-groups` in which groups, with commas between.
 */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { definitions = sampleDefinitions, clock = systemClock } = options;
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'selvedge-apiserver-')));
  const { logger = createLogger({ level: 'silent' }) } = options;
  const openSqlite = () =>
    openSqliteStore({ path: join(directory, 'store.db'), clock, logger, progressIntervalMilliseconds: 50 });
  const store = await (options.openStore ?? openSqlite)();
  const api = await createApiServer({
    ...options.server,
    definitions: typeof definitions === 'function' ? definitions(store.objects) : definitions,
    store: store.objects,
    clock,
    logger,
  });
  const http = createServer((req, res) => {
    const name = String(req.headers['x-user'] ?? '');
    const groups = String(req.headers['x-groups'] ?? '')
      .split(',')
      .filter((group) => group !== '');
    const user = name === '' ? admin : { name, groups };
    void api.handle(req, res, name === 'none' ? {} : { certificateUser: user });
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const stop = async () => {
    await api.close();
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
    await store.close();
  };
  return {
    api,
    client: api.client(admin),
    store,
    url,
    request: (method, path, requestOptions) => request(`${url}${path}`, method, requestOptions),
    restart: async () => {
      await stop();
      return startTestServer({ ...options, directory });
    },
    close: async () => {
      await stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function request(
  url: string,
  method: string,
  { body, headers = {} }: RequestOptions = {},
): Promise<TestAnswer> {
  const answer = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = answer.headers.get('content-type')?.includes('json') ?? false;
  const parsed = (isJson && text !== '' ? JSON.parse(text) : {}) as TestAnswer['body'];
  return { status: answer.status, headers: answer.headers, text, body: parsed };
}

/** Waits for what happens in the background; fails after a time that only a fault reaches. */
export async function eventually<T>(probe: () => Promise<T | undefined>): Promise<T> {
  const deadline = systemClock.now().getTime() + 60_000;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (systemClock.now().getTime() > deadline) throw new Error('it did not happen in time');
    await systemClock.sleep(20);
  }
}
