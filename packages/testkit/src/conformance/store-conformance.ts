import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultItemTerms, defaultSitePolicy, type StatusReason } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { KeyRing, ObjectKey, Store, StoreRecord } from '@selvedge/store';
import {
  type CreateTestDatabase,
  databaseForTest,
  openForTest,
  plainResource,
  sensitiveResource,
} from './store-under-test.ts';

const reason = (expected: StatusReason) => ({ name: 'StatusError', reason: expected });
const { signal } = new AbortController();
const ring = (fill: number, ...others: number[]): KeyRing => ({
  active: new Uint8Array(32).fill(fill),
  others: others.map((other) => new Uint8Array(32).fill(other)),
});
const plain = (name: string): ObjectKey => ({ resource: plainResource, namespace: 'shop', name });
const sensitive = (name: string): ObjectKey => ({ resource: sensitiveResource, namespace: 'shop', name });
const blobOf = (text: string) => Buffer.from(text);

/** What `Store` promises beyond its two parts. Every implementation runs it, on databases that take keys. */
export function storeConformance(name: string, createDatabase: CreateTestDatabase): void {
  describe(`${name} as a Store`, () => {
    conditions(createDatabase);
    health(createDatabase);
    instances(createDatabase);
    dumps(createDatabase);
    restores(createDatabase);
    restoresOfOldDumps(createDatabase);
    keyRotation(createDatabase);
  });
}

function conditions(createDatabase: CreateTestDatabase): void {
  test('a create with a condition happens only while the other object is at that revision', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    const other = await objects.create(plain('other'), '{}');
    const condition = { key: other.key, revision: other.revision };
    await objects.create(plain('a'), '{}', condition);
    const later = await objects.update(other.key, '{"v":2}', other.revision);
    await assert.rejects(objects.create(plain('b'), '{}', condition), reason('Conflict'));
    await objects.create(plain('b'), '{}', { key: other.key, revision: later.revision });
    await objects.delete(other.key, later.revision);
    const gone = { key: other.key, revision: later.revision };
    await assert.rejects(objects.create(plain('c'), '{}', gone), reason('Conflict'));
    assert.equal(await objects.find(plain('c')), undefined);
  });

  test('of a create with a condition and the deletion of what it names, asked for at once, not both happen', async (t) => {
    const { objects } = await openForTest(t, createDatabase);
    for (let round = 0; round < 10; round++) {
      const parent = await objects.create(plain(`parent-${round}`), '{}');
      const condition = { key: parent.key, revision: parent.revision };
      const deletion = () => objects.delete(parent.key, parent.revision);
      const creation = () => objects.create(plain(`child-${round}`), '{}', condition);
      const asked = round % 2 === 0 ? [deletion(), creation()] : [creation(), deletion()];
      const [first, second] = await Promise.allSettled(asked);
      assert.equal(first?.status, 'fulfilled');
      const child = await objects.find(plain(`child-${round}`));
      const hasHappened = (result: PromiseSettledResult<unknown> | undefined) =>
        result?.status === 'fulfilled';
      assert.equal(child !== undefined, hasHappened(round % 2 === 0 ? second : first));
      // The child may come first and the deletion then; never the deletion first and the child then.
      if (round % 2 === 0) assert.equal(child, undefined);
    }
  });
}

function health(createDatabase: CreateTestDatabase): void {
  test('a store that serves says so, one that is closed does not', async (t) => {
    const store = await openForTest(t, createDatabase);
    await store.check();
    await store.close();
    await assert.rejects(store.check(), reason('ServiceUnavailable'));
  });

  test('the only process leads, until it is told to stop', async (t) => {
    const store = await openForTest(t, createDatabase);
    const stop = new AbortController();
    let hasLed = false;
    await store.whileLeading(stop.signal, async (lead) => {
      hasLed = true;
      stop.abort();
      assert.ok(lead.aborted);
    });
    assert.ok(hasLed);
  });

  test('verify counts what there is and finds nothing wrong', async (t) => {
    const store = await openForTest(t, createDatabase);
    await fill(store);
    const verdict = await store.verify(signal);
    assert.deepEqual(verdict.problems, []);
    assert.equal(verdict.revision, await store.objects.currentRevision());
    const { counts } = verdict;
    assert.deepEqual(
      [counts['objects'], counts['deliveries'], counts['sites'], counts['siteKeys'], counts['blobs']],
      [3, 2, 1, 1, 2],
    );
    assert.equal(counts['rolloutMembers'], 1);
  });
}

function instances(createDatabase: CreateTestDatabase): void {
  test('every store has a name of its own, and it changes when the store is restored', async (t) => {
    const source = await openForTest(t, createDatabase);
    const database = await databaseForTest(t, createDatabase);
    const target = await database.open();
    const before = target.instance;
    assert.match(before, /^[0-9a-f-]{36}$/);
    assert.notEqual(before, source.instance);
    await fill(source);
    const cutOff = (await collect(source.dump(signal))).slice(0, -1);
    await assert.rejects(target.restore(streamOf(cutOff), { revisionGap: 1 }), reason('BadRequest'));
    assert.equal(target.instance, before);
    await target.restore(source.dump(signal), { revisionGap: 1 });
    const restored = target.instance;
    assert.equal(new Set([restored, before, source.instance]).size, 3);
    await target.close();
    const again = await database.open();
    // On SQLite a store that is opened again might be a copy; all the hubs on one PostgreSQL are one.
    assert.equal(again.instance === restored, again.engine === 'postgres');
    assert.notEqual(again.instance, before);
  });
}

function dumps(createDatabase: CreateTestDatabase): void {
  test('a dump is everything, opened, between a head and an end that counts it', async (t) => {
    const store = await openForTest(t, createDatabase);
    await fill(store);
    const records = await collect(store.dump(signal));
    const revision = await store.objects.currentRevision();
    assert.deepEqual(records[0], { type: 'head', formatVersion: 1, revision });
    assert.deepEqual(records.at(-1), { type: 'end', records: records.length - 1 });
    const bodies = records.flatMap((r) => (r.type === 'object' ? [[r.object.key.name, r.object.body]] : []));
    assert.deepEqual(
      bodies.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)),
      [
        ['a', '{"v":2}'],
        ['b', '{"v":1}'],
        ['secret', '{"data":"hidden"}'],
      ],
    );
    const blobs = records.flatMap((r) => (r.type === 'blob' ? [Buffer.from(r.bytes).toString()] : []));
    assert.deepEqual(blobs.toSorted(), ['one', 'two']);
    const rows = records.flatMap((r) => (r.type === 'delivery' ? [r.row] : []));
    const byApplication = (a: { application: string }, b: { application: string }) =>
      a.application < b.application ? -1 : 1;
    assert.deepEqual(rows.toSorted(byApplication), (await store.fleet.listDeliveries({})).rows);
  });

  test('a dump is of one revision, whatever is written meanwhile', async (t) => {
    const store = await openForTest(t, createDatabase);
    for (let i = 0; i < 300; i++) await store.objects.create(plain(`n${i}`), `{"i":${i}}`);
    const stop = new AbortController();
    const writing = writeUntil(store, stop.signal);
    const records = await collect(store.dump(signal));
    stop.abort();
    await writing;
    const [head] = records;
    assert.ok(head?.type === 'head');
    const dumped = records.flatMap((r) => (r.type === 'object' ? [r.object] : []));
    const then = await store.objects.list({ resource: plainResource, atRevision: head.revision });
    const byName = (a: { key: ObjectKey }, b: { key: ObjectKey }) => (a.key.name < b.key.name ? -1 : 1);
    assert.deepEqual(dumped.toSorted(byName), then.objects.toSorted(byName));
  });

  test('a dump that is stopped ends, and the store goes on', async (t) => {
    const store = await openForTest(t, createDatabase);
    await fill(store);
    const stop = new AbortController();
    const records: StoreRecord[] = [];
    for await (const record of store.dump(stop.signal)) {
      records.push(record);
      stop.abort();
      if (records.length > 100) break;
    }
    await store.objects.create(plain('later'), '{}');
    assert.deepEqual((await store.verify(signal)).problems, []);
  });
}

function restores(createDatabase: CreateTestDatabase): void {
  const gap = 1_000_000;

  test('what is restored is what was dumped, on a sequence that is far ahead', async (t) => {
    const source = await openForTest(t, createDatabase);
    await fill(source);
    const before = await source.objects.currentRevision();
    const database = await databaseForTest(t, createDatabase);
    const target = await database.open();
    await target.restore(source.dump(signal), { revisionGap: gap });
    await compareStores(target, source);
    assert.equal(await target.objects.currentRevision(), before + gap);
    await target.close();

    const again = await database.open();
    await compareStores(again, source);
    const watch = again.objects.watch({ resource: plainResource, fromRevision: before, signal });
    await assert.rejects(watch[Symbol.asyncIterator]().next(), reason('Expired'));
    const old = again.objects.list({ resource: plainResource, atRevision: before });
    await assert.rejects(old, reason('Expired'));
    await assert.rejects(again.fleet.listDeliveries({ sinceRevision: before }), reason('Expired'));
    const next = await again.objects.create(plain('next'), '{}');
    assert.equal(next.revision, before + gap + 1);
    const present = await again.objects.find(plain('a'));
    assert.ok(present);
    const updated = await again.objects.update(plain('a'), '{"v":3}', present.revision);
    assert.equal(updated.revision, before + gap + 2);
    assert.deepEqual((await again.verify(signal)).problems, []);
  });

  test('only an empty store is restored into', async (t) => {
    const source = await openForTest(t, createDatabase);
    await fill(source);
    const target = await openForTest(t, createDatabase);
    await target.objects.create(plain('mine'), '{}');
    const refused = target.restore(source.dump(signal), { revisionGap: gap });
    await assert.rejects(refused, reason('Conflict'));
    assert.equal((await target.objects.find(plain('mine')))?.body, '{}');
    assert.equal(await target.objects.currentRevision(), 2);
  });

  test('a dump that is cut off, changed or no dump leaves the store empty and in order', async (t) => {
    const source = await openForTest(t, createDatabase);
    await fill(source);
    const records = await collect(source.dump(signal));
    const target = await openForTest(t, createDatabase);
    const wrong: StoreRecord[][] = [
      [],
      records.slice(0, -1),
      records.slice(0, 4),
      records.slice(1),
      records.filter((_, index) => index !== 3),
      [...records, ...records.slice(-1)],
      records.map((r) => (r.type === 'blob' ? { ...r, bytes: Buffer.from('other') } : r)),
    ];
    for (const [index, list] of wrong.entries()) {
      const refused = target.restore(streamOf(list), { revisionGap: gap });
      await assert.rejects(refused, reason('BadRequest'), `case ${index}`);
    }
    const failing = (async function* () {
      yield* records.slice(0, 5);
      throw new Error('the source failed');
    })();
    await assert.rejects(target.restore(failing, { revisionGap: gap }), /the source failed/);
    assert.equal(await target.objects.currentRevision(), 1);
    assert.deepEqual((await target.fleet.listDeliveries({})).rows, []);
    await target.restore(streamOf(records), { revisionGap: gap });
    await compareStores(target, source);
  });
}

function restoresOfOldDumps(createDatabase: CreateTestDatabase): void {
  test('a dump of before there were terms and policies is restored, and no site is told two things under one epoch', async (t) => {
    const source = await openForTest(t, createDatabase);
    await fill(source);
    const old = (await collect(source.dump(signal))).map((record): StoreRecord => {
      if (record.type === 'site') {
        const { policy: _, ...rest } = record;
        return rest as StoreRecord;
      }
      if (record.type !== 'delivery') return record;
      const { terms: _, removal: __, ...row } = record.row;
      return { ...record, row } as StoreRecord;
    });
    const target = await openForTest(t, createDatabase);
    await target.restore(streamOf(old), { revisionGap: 1 });
    const [state, expected] = [await target.fleet.siteState('s1'), await source.fleet.siteState('s1')];
    assert.deepEqual([state.policy, state.epoch], [defaultSitePolicy, expected.epoch + 1]);
    assert.deepEqual(
      state.rows,
      expected.rows.map((row) => ({ ...row, terms: defaultItemTerms, removal: 'Delete' })),
    );
    assert.deepEqual((await target.verify(signal)).problems, []);
  });
}

function keyRotation(createDatabase: CreateTestDatabase): void {
  test('with a new active key everything is sealed anew in steps, and then the old key is not needed', async (t) => {
    const database = await databaseForTest(t, createDatabase);
    const store = await database.open({ keys: ring(1) });
    await fill(store);
    await store.useKeys(ring(2, 1));
    await store.objects.create(sensitive('new'), '{"data":"new"}');
    assert.equal((await store.objects.find(sensitive('secret')))?.body, '{"data":"hidden"}');
    await assert.rejects(store.useKeys(ring(2)), reason('BadRequest'));
    const resealed = await store.reseal(signal);
    assert.ok(resealed >= 5, `${resealed} rows: objects, blobs, variables, log lines`);
    assert.equal(await store.reseal(signal), 0);
    assert.equal(Object.keys((await store.verify(signal)).sealedBy).length, 1);
    await store.useKeys(ring(2));
    await checkFilled(store);
    await store.close();

    await assert.rejects(database.open({ keys: ring(1) }), /key/);
    const again = await database.open({ keys: ring(2) });
    await checkFilled(again);
    assert.deepEqual((await again.verify(signal)).problems, []);
  });

  test('a rotation that ends half-way goes on after a restart', async (t) => {
    const database = await databaseForTest(t, createDatabase);
    const store = await database.open({ keys: ring(1) });
    await fill(store);
    const stop = new AbortController();
    stop.abort();
    await store.useKeys(ring(2, 1));
    assert.equal(await store.reseal(stop.signal), 0);
    await store.close();

    await assert.rejects(database.open({ keys: ring(2) }), /key/, 'rows still need the old key');
    const again = await database.open({ keys: ring(2, 1) });
    await checkFilled(again);
    while ((await again.reseal(signal)) > 0);
    await again.useKeys(ring(2));
    await checkFilled(again);
    assert.equal(Object.keys((await again.verify(signal)).sealedBy).length, 1);
  });

  test('a store opened with a new active key beside the old one takes it over', async (t) => {
    const database = await databaseForTest(t, createDatabase);
    const store = await database.open({ keys: ring(1) });
    await fill(store);
    await store.close();
    const again = await database.open({ keys: ring(3, 1) });
    await checkFilled(again);
    while ((await again.reseal(signal)) > 0);
    await again.close();
    const last = await database.open({ keys: ring(3) });
    await checkFilled(last);
  });
}

async function fill({ objects, fleet }: Store): Promise<void> {
  const a = await objects.create(plain('a'), '{"v":1}');
  await objects.update(plain('a'), '{"v":2}', a.revision);
  await objects.create(plain('b'), '{"v":1}');
  const gone = await objects.create(plain('gone'), '{}');
  await objects.delete(gone.key, gone.revision);
  await objects.create(sensitive('secret'), '{"data":"hidden"}');
  const row = {
    namespace: 'shop',
    release: 'r1',
    digest: 'sha256:1',
    deadlineSeconds: 60.5,
    terms: { ...defaultItemTerms, attempt: 4 },
    wave: 'canary',
  };
  const of = (application: string) => ({ ...row, application, applicationUid: `${application}-uid` });
  await fleet.addSiteKey({
    site: 's1',
    siteUid: 's1-uid',
    publicKey: 'k1',
    fingerprint: 'SHA256:k1',
    tokenUid: 'token',
    enrolledAt: '2026-01-01T00:00:00.000Z',
  });
  await fleet.assign([
    { site: 's1', ...of('till'), rollout: 'r' },
    { site: 's1', ...of('desk'), rollout: 'r' },
  ]);
  await fleet.remove([{ site: 's1', namespace: 'shop', application: 'desk', mode: 'Orphan' }]);
  await fleet.setSiteSettings('s1', {
    variables: { password: 'hidden', tills: 3 },
    policy: { timeZone: 'Europe/Berlin', hold: { reason: 'stocktaking' } },
  });
  const report = {
    id: 'Application/shop/till',
    uid: 'till-uid',
    epoch: 1,
    release: 'r1',
    digest: 'sha256:1',
    state: 'Failed' as const,
    logs: ['hidden', 'too'],
    sinceTime: '2026-01-01T00:00:00Z',
    observedTime: '2026-01-01T00:00:01Z',
    seq: 1,
  };
  await fleet.saveReports('s1', [report], '2026-01-01T00:00:02.000Z');
  fleet.touch({ site: 's1', lastSeenAt: '2026-01-01T00:00:03.000Z', agentEpoch: 1, agentStateDigest: 'd' });
  await fleet.addRolloutMembers('rollout', [{ site: 's1', wave: 'canary' }]);
  for (const text of ['one', 'two']) await fleet.putBlob(sha256Digest(blobOf(text)), blobOf(text));
}

async function checkFilled({ objects, fleet }: Store): Promise<void> {
  assert.equal((await objects.find(sensitive('secret')))?.body, '{"data":"hidden"}');
  assert.equal((await objects.find(plain('a')))?.body, '{"v":2}');
  const state = await fleet.siteState('s1');
  assert.deepEqual(state.variables, { password: 'hidden', tills: 3 });
  assert.deepEqual(state.rows.find((row) => row.application === 'till')?.report?.logs, ['hidden', 'too']);
  for (const text of ['one', 'two']) {
    assert.equal(String(Buffer.from((await fleet.findBlob(sha256Digest(blobOf(text)))) ?? [])), text);
  }
}

async function compareStores(actual: Store, expected: Store): Promise<void> {
  for (const resource of [plainResource, sensitiveResource]) {
    const [a, b] = [await actual.objects.list({ resource }), await expected.objects.list({ resource })];
    assert.deepEqual(a.objects, b.objects);
  }
  assert.deepEqual(
    (await actual.fleet.listDeliveries({})).rows,
    (await expected.fleet.listDeliveries({})).rows,
  );
  assert.deepEqual(await actual.fleet.siteEpochs(), await expected.fleet.siteEpochs());
  for (const site of (await expected.fleet.siteEpochs()).keys()) {
    assert.deepEqual(await actual.fleet.siteState(site), await expected.fleet.siteState(site));
    assert.deepEqual(await actual.fleet.findSiteKey(site), await expected.fleet.findSiteKey(site));
  }
  assert.deepEqual(await actual.fleet.heartbeats(), await expected.fleet.heartbeats());
  assert.deepEqual(
    await actual.fleet.rolloutMembers('rollout'),
    await expected.fleet.rolloutMembers('rollout'),
  );
  const digests = (await expected.fleet.blobDigests()).toSorted();
  assert.deepEqual((await actual.fleet.blobDigests()).toSorted(), digests);
  for (const digest of digests) {
    const [a, b] = [await actual.fleet.findBlob(digest), await expected.fleet.findBlob(digest)];
    assert.ok(a !== undefined && b !== undefined && Buffer.from(a).equals(b));
  }
}

async function writeUntil({ objects }: Store, stop: AbortSignal): Promise<void> {
  for (let i = 0; !stop.aborted; i++) {
    const made = await objects.create(plain(`m${i}`), '{}');
    if (i % 3 === 0) await objects.delete(made.key, made.revision);
    const present = await objects.find(plain(`n${i % 300}`));
    if (present) await objects.update(present.key, `{"again":${i}}`, present.revision);
  }
}

async function collect(records: AsyncIterable<StoreRecord>): Promise<StoreRecord[]> {
  const all: StoreRecord[] = [];
  for await (const record of records) all.push(record);
  return all;
}

async function* streamOf(records: readonly StoreRecord[]): AsyncGenerator<StoreRecord> {
  yield* records;
}
