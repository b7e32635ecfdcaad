import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { describe, test } from 'node:test';
import { isNotFound, type KubeObject, type Site, sites } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { createHttpClient } from '../client/http-client.ts';
import { sendJson, startScriptedApi } from '../testing/scripted-api.ts';
import { waitUntil } from '../testing/wait-until.ts';
import { createInformer } from './informer.ts';

const site = (name: string, resourceVersion: number, uid = `uid-${name}`): Site => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Site',
  metadata: { name, uid, resourceVersion: String(resourceVersion) },
});

/** A server of sites that a test steers: what a list answers, and the watches that are open. */
async function startSites() {
  const state = {
    items: [] as Site[],
    resourceVersion: 1,
    /** Answers to the next requests instead of the usual ones. */
    failures: [] as ((res: ServerResponse) => void)[],
    watches: [] as { from: string; res: ServerResponse }[],
    lists: 0,
  };
  const api = await startScriptedApi((request, res) => {
    const failure = state.failures.shift();
    if (failure) {
      failure(res);
      return;
    }
    if (request.query.get('watch') === 'true') {
      res.writeHead(200, { 'content-type': 'application/json' });
      res.flushHeaders();
      state.watches.push({ from: request.query.get('resourceVersion') ?? '', res });
      return;
    }
    state.lists += 1;
    sendJson(res, 200, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'SiteList',
      metadata: { resourceVersion: String(state.resourceVersion) },
      items: state.items,
    });
  });
  const clock = new FakeClock();
  const client = createHttpClient({ server: api.url });
  const informer = createInformer<Site>({
    client,
    resource: sites,
    clock,
    logger: createLogger({ level: 'silent' }),
  });
  const heard: string[] = [];
  informer.onChange({
    add: (o) => heard.push(`add ${o.metadata.name}`),
    update: (o, previous) =>
      heard.push(
        `update ${o.metadata.name} ${previous.metadata.resourceVersion}→${o.metadata.resourceVersion}`,
      ),
    delete: (o) => heard.push(`delete ${o.metadata.name}`),
  });
  const stop = new AbortController();
  const stopped = informer.run(stop.signal);
  return {
    state,
    clock,
    informer,
    heard,
    /** Sends an event on the newest watch. */
    send: (type: string, object: KubeObject | Record<string, unknown>) =>
      state.watches.at(-1)?.res.write(`${JSON.stringify({ type, object })}\n`),
    /** Lets the time of every retry pass until that many watches were opened. */
    watching: async (count: number) => {
      while (state.watches.length < count) {
        await waitUntil('it retries or watches', () => clock.sleeping > 0 || state.watches.length >= count);
        await clock.advance(60_000);
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await stopped;
      await client.close();
      await api[Symbol.asyncDispose]();
    },
  };
}

describe('informer', () => {
  test('lists, then follows the watch; late handlers hear of what is there', async () => {
    await using s = await startSites();
    await s.informer.synced;
    assert.deepEqual(s.informer.list(), []);
    await s.watching(1);
    assert.equal(s.state.watches[0]?.from, '1');
    s.send('ADDED', site('a', 2));
    s.send('ADDED', site('b', 3));
    s.send('MODIFIED', site('a', 4));
    s.send('DELETED', site('b', 5));
    await waitUntil('b is deleted', () => s.heard.length === 4);
    assert.deepEqual(s.heard, ['add a', 'add b', 'update a 2→4', 'delete b']);
    assert.equal(s.informer.find({ name: 'a' })?.metadata.resourceVersion, '4');
    assert.throws(() => s.informer.get({ name: 'b' }), isNotFound);
    const late: string[] = [];
    const unsubscribe = s.informer.onChange({ add: (o) => late.push(o.metadata.name) });
    assert.deepEqual(late, ['a']);
    unsubscribe();
    s.send('ADDED', site('c', 6));
    await waitUntil('c is added', () => s.heard.length === 5);
    assert.deepEqual(late, ['a']);
  });

  test('a watch that ends is resumed from the last event or bookmark, without a list', async () => {
    await using s = await startSites();
    await s.watching(1);
    s.send('ADDED', site('a', 7));
    s.send('BOOKMARK', site('', 12));
    await waitUntil('a is added', () => s.informer.list().length === 1);
    s.state.watches[0]?.res.end();
    await s.watching(2);
    assert.equal(s.state.watches[1]?.from, '12');
    assert.equal(s.state.lists, 1);
  });

  test('a broken connection is resumed too, and an event cut short comes whole', async () => {
    await using s = await startSites();
    await s.watching(1);
    s.send('ADDED', site('a', 7));
    s.state.watches[0]?.res.write('{"type":"MODIFIED","object":{"metad');
    await waitUntil('a is added', () => s.informer.list().length === 1);
    s.state.watches[0]?.res.destroy();
    await s.watching(2);
    assert.equal(s.state.watches[1]?.from, '7');
    assert.deepEqual(s.heard, ['add a']);
  });

  for (const how of ['an ERROR event', 'an answer']) {
    test(`after Expired as ${how} it lists again and tells what was deleted, replaced and changed meanwhile`, async () => {
      await using s = await startSites();
      s.state.items = [site('gone', 2), site('reborn', 3), site('changed', 4), site('same', 5)];
      await s.informer.synced;
      await s.watching(1);
      s.heard.length = 0;
      s.state.items = [site('reborn', 13, 'another'), site('changed', 14), site('same', 5), site('new', 15)];
      s.state.resourceVersion = 20;
      const expired = { kind: 'Status', reason: 'Expired', message: 'too old', code: 410 };
      if (how === 'an ERROR event') {
        s.send('ERROR', expired);
      } else {
        s.state.failures.push((res) => sendJson(res, 410, expired));
        s.state.watches[0]?.res.end();
      }
      await s.watching(2);
      assert.equal(s.state.watches[1]?.from, '20');
      assert.deepEqual(s.heard, [
        'delete gone',
        'delete reborn',
        'add reborn',
        'update changed 4→14',
        'add new',
      ]);
      assert.equal(s.informer.list().length, 4);
    });
  }

  test('an object deleted and made again between two events is a delete and an add', async () => {
    await using s = await startSites();
    await s.watching(1);
    s.send('ADDED', site('a', 2, 'first'));
    s.send('MODIFIED', site('a', 9, 'second'));
    await waitUntil('both are heard', () => s.heard.length === 3);
    assert.deepEqual(s.heard, ['add a', 'delete a', 'add a']);
  });

  test('a list that fails is tried again; a failed read removes nothing', async () => {
    await using s = await startSites();
    s.state.items = [site('a', 2)];
    await s.informer.synced;
    await s.watching(1);
    for (let i = 0; i < 3; i++) s.state.failures.push((res) => res.writeHead(502).end('<html>'));
    s.send('ERROR', { kind: 'Status', reason: 'Expired', message: 'too old', code: 410 });
    await s.watching(2);
    assert.equal(s.state.failures.length, 0);
    assert.deepEqual(s.heard, ['add a']);
  });

  test('a handler that throws does not stop the others', async () => {
    await using s = await startSites();
    s.informer.onChange({
      add: () => {
        throw new Error('faulty handler');
      },
    });
    const after: string[] = [];
    s.informer.onChange({ add: (o) => after.push(o.metadata.name) });
    await s.watching(1);
    s.send('ADDED', site('a', 2));
    await waitUntil('the other one heard', () => after.length === 1);
  });
});
