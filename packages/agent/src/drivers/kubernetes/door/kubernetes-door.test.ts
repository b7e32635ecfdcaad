import assert from 'node:assert/strict';
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { isStatusError } from '@selvedge/api';
import type { LinkCall } from '../../../link/link-door.ts';
import { eventually, listLogger } from '../../../testing/test-agent.ts';
import { createKubernetesDoor } from './kubernetes-door.ts';

/** What a Kubernetes API sees of the door; its answers are the test's. */
async function startApi(handle: (req: IncomingMessage, text: string) => number = () => 200) {
  const seen: { line: string; headers: IncomingHttpHeaders; raw: string[]; text: string }[] = [];
  const sockets = new Set<Socket>();
  const tokens = ['one'];
  /** What it says with a status. */
  const answers = new Map<number, string>();
  let refusals = 0;
  const server = createServer((req, res) => {
    void (async () => {
      const chunks = (await req.toArray().catch(() => [])) as Buffer[];
      const text = Buffer.concat(chunks).toString();
      seen.push({ line: `${req.method} ${req.url}`, headers: req.headers, raw: req.rawHeaders, text });
      const status = handle(req, text);
      if (status === 0) return;
      const answer = answers.get(status) ?? `answer ${status}`;
      res.writeHead(status, { 'content-type': 'text/plain', 'content-length': Buffer.byteLength(answer) });
      res.end(answer);
    })();
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const door = createKubernetesDoor({
    access: {
      server: `http://127.0.0.1:${(server.address() as AddressInfo).port}/prefix`,
      tls: {},
      authorization: async () => `Bearer ${tokens[0]}`,
      refused: () => {
        refusals += 1;
        if (tokens.length > 1) tokens.shift();
      },
    },
    logger: listLogger([]),
  });
  return {
    door,
    seen,
    sockets,
    tokens,
    answers,
    server,
    refusals: () => refusals,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function call(options: Partial<LinkCall> = {}): LinkCall {
  return {
    method: 'GET',
    path: '/api/v1/pods?watch=1',
    headers: {},
    user: { name: 'anna müller', groups: ['shop', 'system:masters'] },
    signal: new AbortController().signal,
    ...options,
  };
}

const nothing = () => Readable.from([]);
const textOf = async (body: Readable) => Buffer.concat((await body.toArray()) as Buffer[]).toString();

describe('the door to a Kubernetes API', () => {
  test("asks with the agent's credentials in the name of the hub's user, under a prefix of its own", async () => {
    await using api = await startApi();
    const answer = await api.door.answer(call({ headers: { accept: 'application/json' } }), nothing());
    assert.equal(answer.status, 200);
    assert.equal(await textOf(answer.body), 'answer 200');
    const [seen] = api.seen;
    assert.ok(seen);
    assert.equal(seen.line, 'GET /prefix/api/v1/pods?watch=1');
    assert.equal(seen.headers.authorization, 'Bearer one');
    assert.equal(seen.headers.accept, 'application/json');
    const groups = seen.raw.filter((_, index) => seen.raw[index - 1]?.toLowerCase() === 'impersonate-group');
    assert.deepEqual(groups, ['selvedge:shop', 'selvedge:system:masters']);
    const user = Buffer.from(String(seen.headers['impersonate-user']), 'latin1').toString('utf8');
    assert.equal(user, 'selvedge:anna müller');
  });

  test('a right that the agent lacks is told with what gives it, one that the user lacks as the API says it', async () => {
    await using api = await startApi(() => 403);
    const theirs = 'pods is forbidden: User \\"selvedge:anna müller\\" cannot list resource \\"pods\\"';
    api.answers.set(403, `{"kind":"Status","message":"${theirs}"}`);
    const answer = await api.door.answer(call(), nothing());
    assert.equal(answer.status, 403);
    assert.equal(await textOf(answer.body), api.answers.get(403));
    const agents =
      'groups \\"selvedge:shop\\" is forbidden: User \\"agent\\" cannot impersonate resource \\"groups\\" in API group \\"\\"';
    api.answers.set(403, `{"kind":"Status","message":"${agents}"}`);
    const user = { name: 'anna müller', groups: ['shop', 'system:masters', 'system:authenticated'] };
    const explained = (error: unknown) =>
      isStatusError(error, 'Forbidden') &&
      error.message.includes("--link-user 'anna müller' --link-group shop --link-group system:masters |") &&
      /--with-link/.test(error.message);
    await assert.rejects(api.door.answer(call({ user }), nothing()), explained);
    await assert.rejects(api.door.upgrade(call({ user, path: '/api/v1/x/exec' }), 'websocket'), explained);
  });

  test('a refusal of credentials that were just renewed is no refusal', async () => {
    await using api = await startApi((req) => (req.headers.authorization === 'Bearer two' ? 201 : 401));
    api.tokens.push('two');
    const headers = { 'content-length': '4' };
    const post = call({ method: 'POST', path: '/api/v1/namespaces', headers });
    const answer = await api.door.answer(post, Readable.from([Buffer.from('body')]));
    assert.equal(answer.status, 201);
    assert.deepEqual(
      api.seen.map(({ text }) => text),
      ['body', 'body'],
    );
    await textOf(answer.body);
  });

  test("a lasting refusal of the agent's credentials is not told as one of the user's", async () => {
    await using api = await startApi(() => 401);
    await assert.rejects(
      api.door.answer(call(), nothing()),
      (error) =>
        isStatusError(error, 'ServiceUnavailable') && /credentials of the site's agent/.test(error.message),
    );
    assert.equal(api.refusals(), 1);
    assert.equal(api.seen.length, 2);
  });

  test('what follows a body of the wrong length is never read as another request', async () => {
    await using api = await startApi();
    const smuggled = 'GET /prefix/api/v1/secrets HTTP/1.1\r\nhost: x\r\n\r\n';
    for (const [method, length] of [
      ['POST', '1'],
      ['DELETE', undefined],
      ['POST', '9000000'],
    ] as const) {
      const headers = length === undefined ? {} : { 'content-length': length };
      const attempt = api.door.answer(call({ method, headers }), Readable.from([Buffer.from(smuggled)]));
      const outcome = await attempt.then(
        async (answer) => textOf(answer.body),
        () => 'refused',
      );
      assert.match(outcome, /refused|answer 200/);
    }
    assert.ok(api.seen.every(({ line }) => !line.includes('secrets')));
    assert.ok(api.seen.length >= 1);
    assert.ok(api.seen.every(({ text }) => text === smuggled));
  });

  test('a body that breaks off is not given to the API as a whole one', async () => {
    await using api = await startApi();
    const body = new PassThrough();
    const answer = api.door.answer(call({ method: 'POST' }), body);
    answer.catch(() => {});
    body.write('half');
    await eventually('the API is asked', () => api.sockets.size > 0);
    body.destroy(new Error('gone'));
    await assert.rejects(answer);
    assert.ok(api.seen.every(({ text }) => text === ''));
  });

  test('who is gone is no longer asked for, and the API is told', async () => {
    await using api = await startApi(() => 0);
    const gone = new AbortController();
    const answer = api.door.answer(call({ signal: gone.signal }), nothing());
    answer.catch(() => {});
    await eventually('the API is asked', () => api.seen.length === 1);
    gone.abort();
    await assert.rejects(answer, (error) => isStatusError(error, 'Timeout'));
    await eventually('the connection ends', () => api.sockets.size === 0);
  });

  test('an API that is away is named', async () => {
    const api = await startApi();
    await api[Symbol.asyncDispose]();
    await assert.rejects(
      api.door.answer(call(), nothing()),
      (error) =>
        isStatusError(error, 'ServiceUnavailable') && /cannot reach the cluster's API/.test(error.message),
    );
  });

  test('a kept connection that the API has closed is no fault', async () => {
    await using api = await startApi();
    for (let n = 0; n < 5; n++) {
      const answer = await api.door.answer(call(), nothing());
      assert.equal(answer.status, 200);
      await textOf(answer.body);
      for (const socket of api.sockets) socket.destroy();
    }
  });

  test('an upgrade becomes the raw connection, its first bytes included', async () => {
    await using api = await startApi();
    api.server.on('upgrade', (req: IncomingMessage, socket: Socket) => {
      api.seen.push({ line: `${req.method} ${req.url}`, headers: req.headers, raw: [], text: '' });
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-a: b\r\n\r\nfirst',
      );
      socket.pipe(socket);
    });
    const exec = call({ method: 'POST', path: '/api/v1/namespaces/a/pods/b/exec' });
    const upgraded = await api.door.upgrade(exec, 'spdy/3.1');
    assert.ok('socket' in upgraded);
    assert.equal(upgraded.headers['x-a'], 'b');
    assert.equal(api.seen[0]?.headers.upgrade, 'SPDY/3.1');
    assert.equal(api.seen[0]?.headers['content-length'], '0');
    assert.ok(api.seen[0]?.headers['impersonate-user']);
    upgraded.socket.end(' last');
    assert.equal(await textOf(upgraded.socket), 'first last');
  });

  test('a refused upgrade is answered as the API did', async () => {
    await using api = await startApi(() => 403);
    const answer = await api.door.upgrade(call(), 'websocket');
    assert.ok('body' in answer);
    assert.deepEqual([answer.status, await textOf(answer.body)], [403, 'answer 403']);
  });
});
