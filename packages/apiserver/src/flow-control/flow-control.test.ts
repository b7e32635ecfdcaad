import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { eventually, startTestServer, type TestServer } from '../testing/test-server.ts';

const seats = 10;
const configMaps = '/api/v1/namespaces/default/configmaps';
const asUser = (name: string) => ({ 'x-user': name, 'x-groups': 'system:masters' });

describe('flow control', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({ server: { limits: { maxRequestsInflight: seats, maxWatches: 8 } } });
  });
  after(() => server.close());

  const create = (name: string, bytes: number) =>
    server.request('POST', configMaps, {
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { text: 'x'.repeat(bytes) } },
    });

  test('a client with 200 connections delays a polite one by the seats, not by its queue', async () => {
    await create('small', 100);
    const agent = new Agent({ keepAlive: true, maxSockets: 200 });
    const polite = new Agent({ keepAlive: true });
    let served = 0;
    let isOver = false;
    const greed = Array.from({ length: 200 }, async () => {
      while (!isOver) {
        const path = `${configMaps}/small`;
        assert.equal(await ask(server.url, { path, agent, headers: asUser('greedy') }), 200);
        served += 1;
      }
    });
    await eventually(async () => (served > 400 ? true : undefined));
    const delays: number[] = [];
    for (let i = 0; i < 30; i += 1) {
      const before = served;
      const path = `${configMaps}/small`;
      assert.equal(await ask(server.url, { path, agent: polite, headers: asUser('polite') }), 200);
      delays.push(served - before);
    }
    isOver = true;
    await Promise.all(greed);
    agent.destroy();
    polite.destroy();
    const typical = delays.toSorted((a, b) => a - b)[delays.length / 2] ?? 0;
    // In a plain queue it would be the 200 requests before it.
    assert.ok(typical <= 5 * seats, `${delays.join(' ')} requests of the other were served meanwhile`);
  });

  test('bodies that come slowly hold no seat', async () => {
    const { hostname, port } = new URL(server.url);
    const slow = Array.from({ length: 3 * seats }, () => {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      socket.write(
        `POST ${configMaps} HTTP/1.1\r\nHost: x\r\nx-user: slow\r\nx-groups: system:masters\r\n` +
          'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"kind":',
      );
      return socket;
    });
    await Promise.all(slow.map((socket) => once(socket, 'connect')));
    assert.equal((await create('beside-slow-bodies', 10)).status, 201);
    for (const socket of slow) socket.destroy();
  });

  test('answers that are read slowly hold no seat, only memory of their own user', async () => {
    for (let i = 0; i < 8; i += 1) assert.equal((await create(`big-${i}`, 2_000_000)).status, 201);
    const readers = await Promise.all(
      Array.from({ length: 3 * seats }, () =>
        openAndWait(server.url, { path: configMaps, headers: asUser('slow') }),
      ),
    );
    assert.equal((await server.request('GET', `${configMaps}/small`)).status, 200);
    const list = await server.request('GET', configMaps, { headers: asUser('another') });
    assert.equal(list.status, 200);
    for (const reader of readers) assert.equal(reader.statusCode, 200);
    for (const reader of readers) reader.destroy();
  });

  test('one user has half of the watches, then 429 that says when to come again', async () => {
    const path = `${configMaps}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dsmall`;
    const open = await Promise.all(
      Array.from({ length: 4 }, () => openAndWait(server.url, { path, headers: asUser('watcher') })),
    );
    const refused = await server.request('GET', path, { headers: asUser('watcher') });
    assert.equal(refused.status, 429);
    assert.equal(refused.body['reason'], 'TooManyRequests');
    assert.ok(Number(refused.headers.get('retry-after')) >= 1);
    const other = await openAndWait(server.url, { path, headers: asUser('other') });
    assert.equal(other.statusCode, 200);
    for (const watch of [...open, other]) watch.destroy();
    const again = await eventually(async () => {
      const watch = await openAndWait(server.url, { path, headers: asUser('watcher') });
      return watch.statusCode === 200 ? watch : undefined;
    });
    again.destroy();
    const metrics = await server.request('GET', '/metrics');
    assert.match(
      metrics.text,
      /apiserver_flowcontrol_rejected_requests_total\{priority_level="administrators",reason="watches"\} [1-9]/,
    );
  });

  test('quiet watches hold no seat', async () => {
    const path = `${configMaps}?watch=true&resourceVersion=0&fieldSelector=metadata.name%3Dsmall`;
    const users = ['a', 'b'];
    const watches = await Promise.all(
      users.flatMap((user) => [1, 2, 3].map(() => openAndWait(server.url, { path, headers: asUser(user) }))),
    );
    await eventually(async () => {
      const { text } = await server.request('GET', '/metrics');
      // The one that asks.
      return /apiserver_current_inflight_requests\{request_kind="readOnly"\} 1$/m.test(text)
        ? true
        : undefined;
    });
    for (const watch of watches) watch.destroy();
  });

  test('everything is given back in the end', async () => {
    await eventually(async () => {
      const { text } = await server.request('GET', '/metrics');
      const isQuiet =
        /inflight_requests\{request_kind="mutating"\} 0$/m.test(text) &&
        /current_inqueue_requests 0$/m.test(text) &&
        /apiserver_longrunning_requests\{[^}]*\} 0$/m.test(text);
      return isQuiet ? true : undefined;
    });
  });
});

interface Question {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly agent?: Agent;
}

function ask(url: string, question: Question): Promise<number> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    request({ hostname, port, agent: false, ...question }, (res) => {
      res.resume();
      res.once('end', () => resolve(res.statusCode ?? 0));
    })
      .once('error', reject)
      .end();
  });
}

/** An answer that has begun and is not read. */
function openAndWait(url: string, question: Question): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    request({ hostname, port, agent: false, ...question }, (res) => {
      res.on('error', () => {});
      resolve(res);
    })
      .once('error', reject)
      .end();
  });
}
