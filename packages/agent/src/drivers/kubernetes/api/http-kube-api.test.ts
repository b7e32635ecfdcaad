import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { isStatusError } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import type { KubeAccess } from '@selvedge/kube';
import { createKubeApi } from './http-kube-api.ts';
import type { KubeApi } from './kube-api.ts';
import { ApiUnreachable } from './kube-connection.ts';

type Answer = (req: IncomingMessage, res: ServerResponse) => void;

interface TestApi extends AsyncDisposable {
  readonly api: KubeApi;
  readonly requests: { method: string; url: string; authorization: string | undefined }[];
  readonly refused: () => number;
}

/** A server that gives these answers in turn, the last one for ever. */
async function serve(...answers: readonly Answer[]): Promise<TestApi> {
  const requests: TestApi['requests'] = [];
  const server = createServer((req, res) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push({
      method: req.method ?? '',
      url: req.url ?? '',
      authorization: req.headers.authorization,
    });
    req.resume().on('end', () => answer?.(req, res));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  let refused = 0;
  const access: KubeAccess = {
    server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix`,
    tls: {},
    authorization: async () => `Bearer token-${refused}`,
    refused: () => {
      refused += 1;
    },
  };
  const api = createKubeApi({ access, clock: systemClock, logger: createLogger({ level: 'silent' }) });
  return {
    api,
    requests,
    refused: () => refused,
    [Symbol.asyncDispose]: async () => {
      api.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const json =
  (value: unknown, code = 200, headers: Record<string, string> = {}): Answer =>
  (_req, res) => {
    res.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
  };
const status = (
  ...[code, reason, message, headers = {}]: [number, string, string, Record<string, string>?]
): Answer =>
  json({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message }, code, headers);
const cut: Answer = (_req, res) => res.destroy();

describe('the API of a cluster', () => {
  test('a request goes below the path of the server, with its query and our credentials', async () => {
    await using served = await serve(json({ kind: 'Pod' }));
    const query = { a: 'b c', none: undefined };
    assert.deepEqual(await served.api.json({ method: 'GET', path: '/api/v1/pods', query }), { kind: 'Pod' });
    assert.deepEqual(served.requests, [
      { method: 'GET', url: '/prefix/api/v1/pods?a=b+c', authorization: 'Bearer token-0' },
    ]);
  });

  test('429 and its Retry-After are obeyed, also for POST', async () => {
    await using served = await serve(
      status(429, 'TooManyRequests', 'busy', { 'retry-after': '1' }),
      json({ ok: true }),
    );
    const before = performance.now();
    await served.api.json({ method: 'POST', path: '/x', body: {} });
    assert.equal(served.requests.length, 2);
    assert.ok(performance.now() - before >= 1000);
  });

  test('a Retry-After that is too long is left to the caller', async () => {
    await using served = await serve(status(429, 'TooManyRequests', 'busy', { 'retry-after': '3600' }));
    await assert.rejects(served.api.json({ method: 'GET', path: '/x' }), (error) =>
      isStatusError(error, 'TooManyRequests'),
    );
    assert.equal(served.requests.length, 1);
  });

  test('a short 503 is tried again, but nothing that makes something new', async () => {
    await using served = await serve(status(503, 'ServiceUnavailable', 'not yet'), json({ ok: true }));
    assert.deepEqual(await served.api.json({ method: 'PATCH', path: '/x', body: {} }), { ok: true });
    await using post = await serve(status(503, 'ServiceUnavailable', 'not yet'), json({ ok: true }));
    await assert.rejects(post.api.json({ method: 'POST', path: '/x', body: {} }), /not yet/);
    assert.equal(post.requests.length, 1);
  });

  test('after 401 credentials are asked for anew, once', async () => {
    await using served = await serve(status(401, 'Unauthorized', 'who?'), json({ ok: true }));
    await served.api.json({ method: 'GET', path: '/x' });
    assert.deepEqual(
      served.requests.map(({ authorization }) => authorization),
      ['Bearer token-0', 'Bearer token-1'],
    );
    await using never = await serve(status(401, 'Unauthorized', 'who?'));
    await assert.rejects(never.api.json({ method: 'GET', path: '/x' }), (error) =>
      isStatusError(error, 'Unauthorized'),
    );
    assert.equal(never.refused(), 1);
  });

  test('a connection that breaks is tried once more, then it cannot be reached', async () => {
    await using served = await serve(cut, json({ ok: true }));
    assert.deepEqual(await served.api.json({ method: 'GET', path: '/x' }), { ok: true });
    await using never = await serve(cut);
    await assert.rejects(never.api.json({ method: 'GET', path: '/x' }), ApiUnreachable);
    assert.equal(never.requests.length, 2);
  });

  test('what the API says against a request keeps its words, also under a reason that is not ours', async () => {
    await using served = await serve(
      status(422, 'Invalid', 'spec.replicas: must not be negative'),
      json({ kind: 'Status', status: 'Failure', code: 403, message: 'admission webhook "x" denied it' }, 403),
      (_req, res) => res.writeHead(502).end('<html>'),
    );
    const ask = () => served.api.json({ method: 'POST', path: '/x', body: {} });
    await assert.rejects(ask(), (error) => isStatusError(error, 'Invalid') && /replicas/.test(error.message));
    await assert.rejects(
      ask(),
      (error) => isStatusError(error, 'Forbidden') && /denied it/.test(error.message),
    );
    await assert.rejects(ask(), (error) => isStatusError(error));
  });

  test('lines come as they are sent, whole, however they are cut', async () => {
    await using served = await serve((_req, res) => {
      res.writeHead(200);
      res.write('{"a":"ü');
      setImmediate(() => res.end('"}\n\n{"b":1}\nrest'));
    });
    const { signal } = new AbortController();
    const lines: string[] = [];
    for await (const line of served.api.lines({ method: 'GET', path: '/x', idleMs: 30_000, signal })) {
      lines.push(line);
    }
    assert.deepEqual(lines, ['{"a":"ü"}', '{"b":1}', 'rest']);
  });

  test('a stream in which nothing comes any more counts as broken; with the signal it ends quietly', async () => {
    await using served = await serve((_req, res) => {
      res.writeHead(200);
      res.write('one\n');
    });
    const read = async (signal: AbortSignal, idleMs: number, onLine: () => void) => {
      for await (const _line of served.api.lines({ method: 'GET', path: '/x', idleMs, signal })) onLine();
    };
    await assert.rejects(
      read(new AbortController().signal, 200, () => undefined),
      ApiUnreachable,
    );
    const stop = new AbortController();
    await read(stop.signal, 30_000, () => stop.abort());
  });

  test('kinds are asked for by group and version, once; a refresh asks again', async () => {
    const list = {
      resources: [
        { name: 'deployments', kind: 'Deployment', namespaced: true, verbs: ['get'] },
        { name: 'deployments/scale', kind: 'Scale', namespaced: true, verbs: ['get'] },
      ],
    };
    await using served = await serve(json(list));
    const find = (kind: string, options?: { refresh: boolean }) =>
      served.api.findResource('apps/v1', kind, options);
    assert.equal((await find('Deployment'))?.plural, 'deployments');
    assert.equal(await find('Scale'), undefined);
    assert.deepEqual(
      served.requests.map(({ url }) => url),
      ['/prefix/apis/apps/v1'],
    );
    await find('Deployment', { refresh: true });
    assert.equal(served.requests.length, 2);
  });

  test('a version that is not served has no kinds, and is asked for again next time', async () => {
    await using served = await serve(
      status(404, 'NotFound', 'the server could not find the requested resource'),
    );
    assert.equal(await served.api.findResource('example.com/v1', 'Widget'), undefined);
    assert.equal(await served.api.findResource('example.com/v1', 'Widget'), undefined);
    assert.equal(served.requests.length, 2);
  });
});
