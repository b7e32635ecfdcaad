import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultItemTerms, type StatusReason } from '@selvedge/api';
import type { ObjectKey, ObjectStore, StoreEvent } from '@selvedge/store';
import { listWatchProperties } from './list-watch-properties.ts';
import { objectStoreProperties } from './object-store-properties.ts';
import { databaseForTest, openForTest, type CreateTestDatabase } from './store-under-test.ts';

const key = (name: string, namespace = 'shop', resource = 'things.example'): ObjectKey => ({
  resource,
  namespace,
  name,
});
const reason = (expected: StatusReason) => ({ name: 'StatusError', reason: expected });
const names = (result: { objects: { key: ObjectKey }[] }) => result.objects.map((o) => o.key.name);

/** Takes the next `count` events, or those until the watch ends. */
async function take(events: AsyncIterable<StoreEvent>, count: number): Promise<StoreEvent[]> {
  const taken: StoreEvent[] = [];
  for await (const event of events) if (taken.push(event) === count) break;
  return taken;
}

/** What `ObjectStore` promises. Every implementation runs it. */
export function objectStoreConformance(name: string, createDatabase: CreateTestDatabase): void {
  describe(`${name} as an ObjectStore`, () => {
    writes(createDatabase);
    lists(createDatabase);
    watches(createDatabase);
    compaction(createDatabase);
    durability(createDatabase);
    objectStoreProperties(createDatabase);
    listWatchProperties(createDatabase);
  });
}

function writes(createDatabase: CreateTestDatabase): void {
  test('an empty store is at revision 1 and has no objects', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    assert.equal(await objects.currentRevision(), 1);
    assert.equal(await objects.find(key('a')), undefined);
    assert.deepEqual(await objects.list({ resource: 'things.example' }), {
      objects: [],
      revision: 1,
      remaining: 0,
    });
  });

  test('an object is found as it was written, with its revisions', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const body = '{"text":"Grüße, 世界 \\u0000 🧵"}';
    const created = await objects.create(key('a'), body);
    assert.deepEqual(created, { key: key('a'), body, revision: 2, createRevision: 2 });
    assert.deepEqual(await objects.find(key('a')), created);
    const updated = await objects.update(key('a'), '{"v":2}', 2);
    assert.deepEqual(updated, { key: key('a'), body: '{"v":2}', revision: 3, createRevision: 2 });
    assert.deepEqual(await objects.find(key('a')), updated);
  });

  test('a name is taken once per resource and namespace', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    await objects.create(key('a'), '{}');
    await assert.rejects(objects.create(key('a'), '{}'), {
      ...reason('AlreadyExists'),
      message: 'things.example "a" already exists',
    });
    await objects.create(key('a', 'other'), '{}');
    await objects.create(key('a', ''), '{}');
    await objects.create(key('a', 'shop', 'others'), '{}');
    assert.equal(await objects.currentRevision(), 5);
  });

  test('an object that is deleted and made again begins a new life', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    await objects.create(key('a'), '{"v":1}');
    assert.deepEqual(await objects.delete(key('a'), 2), {
      key: key('a'),
      body: '{"v":1}',
      revision: 3,
      createRevision: 2,
    });
    assert.equal(await objects.find(key('a')), undefined);
    assert.equal((await objects.create(key('a'), '{}')).createRevision, 4);
  });

  test('a write that expects another revision is a Conflict and changes nothing', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    await objects.create(key('a'), '{"v":1}');
    const updated = await objects.update(key('a'), '{"v":2}', 2);
    await assert.rejects(objects.update(key('a'), '{"v":3}', 2), reason('Conflict'));
    await assert.rejects(objects.delete(key('a'), 2), reason('Conflict'));
    assert.deepEqual(await objects.find(key('a')), updated);
    assert.equal(await objects.currentRevision(), 3);
  });

  test('what is not there can be neither updated nor deleted', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    await assert.rejects(objects.update(key('a'), '{}', 1), reason('NotFound'));
    await assert.rejects(objects.delete(key('a'), 1), reason('NotFound'));
  });

  test('of many concurrent updates of one revision exactly one wins', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const { revision } = await objects.create(key('a'), '{}');
    const tries = Array.from({ length: 20 }, (_, i) => objects.update(key('a'), `{"v":${i}}`, revision));
    const results = await Promise.allSettled(tries);
    const won = results.filter((result) => result.status === 'fulfilled');
    assert.equal(won.length, 1);
    for (const result of results) {
      if (result.status === 'rejected') assert.equal(result.reason.reason, 'Conflict');
    }
    assert.deepEqual(await objects.find(key('a')), won[0]?.value);
  });

  test('writes that fail do not touch those asked for at the same time, and leave no hole in the sequence', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    await objects.create(key('taken'), '{}');
    const tries = Array.from({ length: 30 }, (_, i) => objects.create(key(i % 3 ? `n${i}` : 'taken'), '{}'));
    const results = await Promise.allSettled(tries);
    assert.deepEqual(
      results.map((result) => result.status),
      Array.from({ length: 30 }, (_, i) => (i % 3 ? 'fulfilled' : 'rejected')),
    );
    const revisions = results.flatMap((result) =>
      result.status === 'fulfilled' ? result.value.revision : [],
    );
    assert.deepEqual(
      revisions.toSorted((a, b) => a - b),
      Array.from({ length: 20 }, (_, i) => i + 3),
    );
  });

  test('objects and fleet rows share one sequence', async (t) => {
    const { objects, fleet } = await openForTest(t, createDatabase);
    const first = await objects.create(key('a'), '{}');
    await fleet.assign([
      {
        site: 's1',
        namespace: 'shop',
        application: 'till',
        applicationUid: 'u1',
        release: 'till-1',
        digest: 'sha256:1',
        deadlineSeconds: 60,
        terms: defaultItemTerms,
        rollout: '',
        wave: '',
      },
    ]);
    const [row] = (await fleet.siteState('s1')).rows;
    const second = await objects.create(key('b'), '{}');
    assert.deepEqual([first.revision, row?.revision, second.revision], [2, 3, 4]);
  });
}

function lists(createDatabase: CreateTestDatabase): void {
  test('a list is in order of namespace and name, of one namespace or all', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const keys = [key('b', 'x'), key('a', 'y'), key('a', 'x'), key('a-b', 'x'), key('c', 'x', 'others')];
    for (const k of keys) await objects.create(k, '{}');
    const all = await objects.list({ resource: 'things.example' });
    assert.deepEqual(
      all.objects.map((o) => `${o.key.namespace}/${o.key.name}`),
      ['x/a', 'x/a-b', 'x/b', 'y/a'],
    );
    assert.equal(all.revision, 6);
    assert.deepEqual(names(await objects.list({ resource: 'things.example', namespace: 'y' })), ['a']);
    assert.deepEqual(names(await objects.list({ resource: 'things.example', namespace: 'z' })), []);
    assert.deepEqual(names(await objects.list({ resource: 'things' })), []);
  });

  test('a list in pages is the list, and each page tells how many remain', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    for (const [namespace, count] of [
      ['x', 3],
      ['y', 4],
    ] as const) {
      for (let i = 0; i < count; i++) await objects.create(key(`n${i}`, namespace), '{}');
    }
    const pages: string[][] = [];
    const remaining: number[] = [];
    let after: { namespace: string; name: string } | undefined;
    do {
      const page = await objects.list({ resource: 'things.example', limit: 3, ...(after ? { after } : {}) });
      pages.push(page.objects.map((o) => `${o.key.namespace}/${o.key.name}`));
      remaining.push(page.remaining);
      after = page.objects.at(-1)?.key;
    } while (remaining.at(-1) !== 0);
    assert.deepEqual(pages, [['x/n0', 'x/n1', 'x/n2'], ['y/n0', 'y/n1', 'y/n2'], ['y/n3']]);
    assert.deepEqual(remaining, [4, 1, 0]);
  });

  test('a list at an old revision shows the objects of then, also in pages', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    for (const name of ['a', 'b', 'c']) await objects.create(key(name), `{"of":"${name}"}`);
    const atRevision = await objects.currentRevision();
    await objects.update(key('a'), '{"of":"later"}', 2);
    await objects.delete(key('b'), 3);
    await objects.create(key('d'), '{}');
    const query = { resource: 'things.example', namespace: 'shop', atRevision };
    const whole = await objects.list(query);
    assert.deepEqual(
      whole.objects.map((o) => [o.key.name, o.body, o.revision]),
      [
        ['a', '{"of":"a"}', 2],
        ['b', '{"of":"b"}', 3],
        ['c', '{"of":"c"}', 4],
      ],
    );
    assert.equal(whole.revision, atRevision);
    const first = await objects.list({ ...query, limit: 2 });
    assert.deepEqual([names(first), first.remaining], [['a', 'b'], 1]);
    const rest = await objects.list({ ...query, limit: 2, after: { namespace: 'shop', name: 'b' } });
    assert.deepEqual([names(rest), rest.remaining], [['c'], 0]);
  });

  test('a list at a revision that is ahead of the store is Expired', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    await assert.rejects(objects.list({ resource: 'things.example', atRevision: 2 }), reason('Expired'));
  });
}

function watches(createDatabase: CreateTestDatabase): void {
  const watch = (objects: ObjectStore, fromRevision: number, signal = new AbortController().signal) =>
    objects.watch({ resource: 'things.example', fromRevision, signal });

  test('a watch hands out the past, then progress, then what happens live', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const a1 = await objects.create(key('a'), '{"v":1}');
    await objects.create(key('a', 'shop', 'others'), '{}');
    const a2 = await objects.update(key('a'), '{"v":2}', a1.revision);
    const events = take(watch(objects, 1), 5);
    await new Promise(setImmediate);
    const a3 = await objects.update(key('a'), '{"v":3}', a2.revision);
    const gone = await objects.delete(key('a'), a3.revision);
    assert.deepEqual(await events, [
      { type: 'put', object: a1 },
      { type: 'put', object: a2, previous: a1 },
      { type: 'progress', revision: a2.revision },
      { type: 'put', object: a3, previous: a2 },
      { type: 'delete', object: gone },
    ] satisfies StoreEvent[]);
    assert.deepEqual(gone, { ...a3, revision: a3.revision + 1 });
  });

  test('a replayed deletion carries the last state, and a new life has no previous one', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const first = await objects.create(key('a'), '{"v":1}');
    const gone = await objects.delete(key('a'), first.revision);
    const second = await objects.create(key('a'), '{"v":2}');
    assert.deepEqual(await take(watch(objects, first.revision), 3), [
      { type: 'delete', object: gone },
      { type: 'put', object: second },
      { type: 'progress', revision: second.revision },
    ] satisfies StoreEvent[]);
  });

  test('a watch of one namespace sees only that, replayed and live', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const signal = new AbortController().signal;
    await objects.create(key('a', 'x'), '{}');
    await objects.create(key('a', 'y'), '{}');
    const events = take(
      objects.watch({ resource: 'things.example', namespace: 'y', fromRevision: 1, signal }),
      3,
    );
    await new Promise(setImmediate);
    await objects.create(key('b', 'x'), '{}');
    await objects.create(key('b', 'y'), '{}');
    assert.deepEqual(
      (await events).map((e) =>
        e.type === 'progress' ? 'progress' : `${e.object.key.namespace}/${e.object.key.name}`,
      ),
      ['y/a', 'progress', 'y/b'],
    );
  });

  test('an event is handed out before its write is acknowledged to have happened', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const events = watch(objects, 1)[Symbol.asyncIterator]();
    assert.equal((await events.next()).value.type, 'progress');
    const next = events.next();
    const created = await objects.create(key('a'), '{}');
    assert.deepEqual((await next).value, { type: 'put', object: created });
  });

  test('a watch ends when its signal fires, while it waits or before it begins', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const stop = new AbortController();
    const ended = take(watch(objects, 1, stop.signal), Infinity);
    await new Promise(setImmediate);
    stop.abort();
    assert.deepEqual(await ended, [{ type: 'progress', revision: 1 }]);
    assert.deepEqual(await take(watch(objects, 1, stop.signal), Infinity), []);
  });

  test('a watch ends when the store closes', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const ended = take(watch(objects, 1), Infinity);
    await new Promise(setImmediate);
    await objects.close();
    assert.equal((await ended).length, 1);
  });

  test('a reader that is slow still gets every event once and in order', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const count = 3000;
    const events = watch(objects, 1)[Symbol.asyncIterator]();
    assert.equal((await events.next()).value.type, 'progress');
    await Promise.all(Array.from({ length: count }, (_, i) => objects.create(key(`n${i}`), '{}')));
    const revisions: number[] = [];
    while (revisions.length < count) {
      const { value } = (await events.next()) as { value: StoreEvent };
      if (value.type !== 'progress') revisions.push(value.object.revision);
    }
    assert.deepEqual(
      revisions,
      Array.from({ length: count }, (_, i) => i + 2),
    );
  });

  test('a watch from a revision that is ahead of the store is Expired', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    await assert.rejects(take(watch(objects, 2), 1), reason('Expired'));
  });
}

function compaction(createDatabase: CreateTestDatabase): void {
  test('after compaction older watches and lists are Expired, newer ones are whole', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const signal = new AbortController().signal;
    const a1 = await objects.create(key('a'), '{"v":1}');
    const b1 = await objects.create(key('b'), '{}');
    const a2 = await objects.update(key('a'), '{"v":2}', a1.revision);
    const b2 = await objects.delete(key('b'), b1.revision);
    const kept = b2.revision;
    const a3 = await objects.update(key('a'), '{"v":3}', a2.revision);
    await objects.compact(kept);
    const watch = (fromRevision: number) =>
      objects.watch({ resource: 'things.example', fromRevision, signal });
    await assert.rejects(take(watch(kept - 1), 1), reason('Expired'));
    await assert.rejects(
      objects.list({ resource: 'things.example', atRevision: kept - 1 }),
      reason('Expired'),
    );
    assert.deepEqual((await objects.list({ resource: 'things.example', atRevision: kept })).objects, [a2]);
    assert.deepEqual(await take(watch(kept), 1), [{ type: 'put', object: a3, previous: a2 }]);
    assert.deepEqual((await objects.list({ resource: 'things.example' })).objects, [a3]);
  });

  test('compaction beyond the newest revision, backwards and twice at once does no harm', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const a = await objects.create(key('a'), '{}');
    await Promise.all([objects.compact(1000), objects.compact(1), objects.compact(2)]);
    await objects.compact(1);
    assert.equal(await objects.currentRevision(), 2);
    assert.deepEqual((await objects.list({ resource: 'things.example', atRevision: 2 })).objects, [a]);
    await assert.rejects(objects.list({ resource: 'things.example', atRevision: 1 }), reason('Expired'));
  });

  test('a live watch goes on through a compaction; one that compaction has overtaken is Expired', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const signal = new AbortController().signal;
    const open = () =>
      objects.watch({ resource: 'things.example', fromRevision: 1, signal })[Symbol.asyncIterator]();
    const [live, slow] = [open(), open()];
    await live.next();
    await slow.next();
    for (let i = 0; i < 1500; i += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, n) => objects.create(key(`n${i + n}`), '{}')));
      for (let n = 0; n < 500; n++) await live.next();
    }
    await objects.compact(await objects.currentRevision());
    const next = live.next();
    const created = await objects.create(key('later'), '{}');
    assert.deepEqual((await next).value, { type: 'put', object: created });
    await assert.rejects(async () => {
      while (!(await slow.next()).done);
    }, reason('Expired'));
  });
}

function durability(createDatabase: CreateTestDatabase): void {
  test('objects, the sequence and what is compacted outlive closing and opening', async (t) => {
    const database = await databaseForTest(t, createDatabase);
    const before = await database.open();
    const a1 = await before.objects.create(key('a'), '{"v":1}');
    const a2 = await before.objects.update(key('a'), '{"v":2}', a1.revision);
    const b = await before.objects.create(key('b'), '{}');
    await before.objects.delete(key('b'), b.revision);
    await before.objects.compact(a2.revision);
    await before.close();
    const after = await database.open();
    assert.deepEqual(await after.objects.find(key('a')), a2);
    assert.equal(await after.objects.currentRevision(), 5);
    await assert.rejects(
      after.objects.list({ resource: 'things.example', atRevision: 2 }),
      reason('Expired'),
    );
    const signal = new AbortController().signal;
    const events = await take(
      after.objects.watch({ resource: 'things.example', fromRevision: a2.revision, signal }),
      3,
    );
    assert.deepEqual(
      events.map((event) => event.type),
      ['put', 'delete', 'progress'],
    );
    assert.equal((await after.objects.create(key('c'), '{}')).revision, 6);
    await after.close();
  });

  test('closing writes what was asked for before, then refuses', async (t) => {
    const database = await databaseForTest(t, createDatabase);
    const store = await database.open();
    const { objects } = store;
    const asked = objects.create(key('a'), '{}');
    await Promise.all([store.close(), store.close()]);
    assert.equal((await asked).revision, 2);
    await assert.rejects(objects.create(key('b'), '{}'), reason('ServiceUnavailable'));
    await assert.rejects(objects.find(key('a')), reason('ServiceUnavailable'));
    const again = await database.open();
    assert.equal(await again.objects.currentRevision(), 2);
    await again.close();
  });
}
