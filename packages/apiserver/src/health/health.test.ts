import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { startTestServer, type TestServer } from '../testing/test-server.ts';
import { Health } from './health.ts';

describe('health', () => {
  let server: TestServer;
  let fault: Error | undefined;
  const nobody = { headers: { 'x-user': 'none' } };

  before(async () => {
    const check = () => {
      if (fault) throw fault;
    };
    server = await startTestServer({ server: { healthChecks: [{ name: 'disk', check }] } });
  });
  after(() => server.close());

  const get = async (path: string) => {
    const { status, text } = await server.request('GET', path, nobody);
    return [status, text];
  };

  test('is told to anybody, in few words', async () => {
    fault = undefined;
    for (const path of ['/livez', '/readyz', '/healthz', '/readyz/', '/readyz/disk', '/livez/ping']) {
      assert.deepEqual(await get(path), [200, 'ok'], path);
    }
    assert.equal((await server.request('HEAD', '/readyz', nobody)).status, 200);
  });

  test('in more words when asked', async () => {
    fault = undefined;
    const [status, text] = await get('/readyz?verbose');
    assert.equal(status, 200);
    assert.match(
      String(text),
      /^\[\+\]ping ok\n\[\+\]disk ok\n[^]*\[\+\]shutdown ok\n[^]*readyz check passed\n$/,
    );
  });

  test('a check that fails is named, not explained', async () => {
    fault = new Error('/secret/place is full');
    const [status, text] = await get('/readyz');
    assert.equal(status, 500);
    assert.match(String(text), /^\[-\]disk failed: reason withheld$/m);
    assert.match(String(text), /^readyz check failed$/m);
    assert.doesNotMatch(String(text), /secret/);
    assert.equal((await get('/readyz/disk'))[0], 500);
    assert.deepEqual(await get('/readyz/ping'), [200, 'ok']);
    assert.deepEqual(await get('/livez'), [200, 'ok'], 'no restart would help');
    const [excluded, excludedText] = await get('/readyz?verbose&exclude=disk&exclude=nonsense');
    assert.equal(excluded, 200);
    assert.match(String(excludedText), /^\[\+\]disk excluded: ok$/m);
    assert.match(String(excludedText), /no matches for "nonsense"/);
  });

  test('an unknown check is not found', async () => {
    assert.equal((await get('/readyz/nonsense'))[0], 404);
    assert.equal((await get('/livez/disk'))[0], 404, 'it is none of livez');
    assert.equal((await get('/readyz/disk/more'))[0], 404);
    assert.equal((await server.request('GET', '/readyzzz', nobody)).status, 401);
  });

  test('a server that is about to stop says so first, and goes on serving', async () => {
    fault = undefined;
    const stopping = await startTestServer();
    const draining = stopping.api.drain(1_500);
    assert.equal((await stopping.request('GET', '/readyz', nobody)).status, 500);
    assert.equal((await stopping.request('GET', '/livez', nobody)).status, 200);
    assert.equal((await stopping.request('GET', '/api/v1/namespaces/default')).status, 200);
    await draining;
    await stopping.close();
  });
});

describe('a health check', () => {
  const logger = createLogger({ level: 'silent' });

  test('that does not answer fails, and is not asked by everybody', async () => {
    const clock = new FakeClock();
    const health = new Health({ clock, logger });
    let asked = 0;
    health.add({
      name: 'slow',
      check: () => {
        asked += 1;
        return new Promise(() => {});
      },
    });
    const results = [health.run(['slow']), health.run(['slow'])];
    await clock.advance(6_000);
    for (const [result] of await Promise.all(results))
      assert.match(result?.fault ?? '', /no answer within 5 s/);
    assert.equal(asked, 1);
  });

  test('has a name of its own', () => {
    const health = new Health({ clock: new FakeClock(), logger });
    assert.throws(() => health.add({ name: 'ping', check: () => {} }), /is there already/);
  });
});
