import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { defaultItemTerms, defaultSitePolicy, isStatusError } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import type { DeliveryRow, ObjectKey, Store, StoredObject, StoreEvent } from '../index.ts';
import { needsPostgres, openPostgresStoreForTest, PostgresForTests } from '../testing/postgres-databases.ts';

const resources = ['things.example', 'others'];
const key = (name: string, resource = 'things.example'): ObjectKey => ({ resource, namespace: 'shop', name });
const assignment = (site: string, digest: string) => ({
  site,
  namespace: 'shop',
  application: 'till',
  applicationUid: 'till-uid',
  release: digest,
  digest,
  deadlineSeconds: 60,
  terms: defaultItemTerms,
  rollout: '',
  wave: '',
});

/** Polls until the check holds; the deadline is generous because machines are slow at times. */
async function eventually(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 1200; attempt++) {
    if (await check()) return;
    await systemClock.sleep(50);
  }
  throw new Error(`${what} did not come true within a minute`);
}

describe('several hubs on one PostgreSQL database', needsPostgres, () => {
  const postgres = new PostgresForTests();

  async function openStores(t: TestContext, count: number): Promise<Store[]> {
    const { url } = await postgres.database(t);
    return Promise.all(Array.from({ length: count }, () => openPostgresStoreForTest(t, url)));
  }

  test('every watcher on every hub sees the same events, in order and none missing', async (t) => {
    const stores = await openStores(t, 3);
    const stop = new AbortController();
    const seen = stores.map((store) => resources.map((resource) => follow(store, resource, stop.signal)));
    const mirrors = stores.map((store) => new FleetMirror(store));
    await Promise.all(stores.flatMap((store, hub) => [0, 1].map((part) => write(store, hub * 2 + part, 60))));
    const [first] = stores as [Store];
    const current = await first.objects.currentRevision();
    for (const [hub, watches] of seen.entries()) {
      await stores[hub]?.objects.currentRevision();
      await eventually('the watches', () => watches.every((watch) => watch.position >= current));
    }
    stop.abort();
    for (const [index, resource] of resources.entries()) {
      const whole = await replay(first, resource);
      const { objects } = await first.objects.list({ resource });
      assert.deepEqual(fold(whole), objects);
      for (const watches of seen) assert.deepEqual(watches[index]?.events, whole);
    }
    const { rows } = await first.fleet.listDeliveries({});
    const epochs = await first.fleet.siteEpochs();
    for (const mirror of mirrors) {
      const byRevision = (a: DeliveryRow, b: DeliveryRow) => a.revision - b.revision;
      assert.deepEqual([...mirror.rows.values()].toSorted(byRevision), rows.toSorted(byRevision));
      assert.deepEqual(mirror.epochs, epochs);
    }
    const verdict = await first.verify(new AbortController().signal);
    assert.deepEqual(verdict.problems, []);
  });

  test('what one hub acknowledged another one lists, finds and counts at once', async (t) => {
    const [a, b] = (await openStores(t, 2)) as [Store, Store];
    for (let i = 0; i < 20; i++) {
      const made = await a.objects.create(key(`n${i}`), '{}');
      assert.equal(await b.objects.currentRevision(), made.revision);
      assert.deepEqual(await b.objects.find(made.key), made);
      assert.equal((await b.objects.list({ resource: 'things.example' })).objects.length, i + 1);
    }
  });

  test('a watch may begin at a revision that only another hub has seen so far', async (t) => {
    const [a, b] = (await openStores(t, 2)) as [Store, Store];
    for (let i = 0; i < 20; i++) {
      const made = await a.objects.create(key(`n${i}`), '{}');
      const { signal } = new AbortController();
      for await (const event of b.objects.watch({
        resource: 'things.example',
        fromRevision: made.revision,
        signal,
      })) {
        assert.deepEqual(event, { type: 'progress', revision: made.revision });
        break;
      }
    }
  });

  test('of updates of one object through several hubs exactly one wins each time', async (t) => {
    const stores = await openStores(t, 3);
    let present = await (stores[0] as Store).objects.create(key('one'), '{}');
    for (let round = 0; round < 20; round++) {
      const tries = stores.map((store, hub) =>
        store.objects.update(present.key, `{"hub":${hub}}`, present.revision),
      );
      const won = (await Promise.allSettled(tries)).flatMap((result) =>
        result.status === 'fulfilled' ? [result.value] : [],
      );
      assert.equal(won.length, 1);
      present = won[0] as StoredObject;
    }
    assert.equal(present.revision, 22);
  });

  test('listeners on a hub hear of what another one assigns, and of its epoch', async (t) => {
    const [a, b] = (await openStores(t, 2)) as [Store, Store];
    const mirror = new FleetMirror(b);
    await a.fleet.assign([assignment('s1', 'sha256:1'), assignment('s2', 'sha256:1')]);
    await a.fleet.setSiteSettings('s1', { variables: { a: 1 }, policy: defaultSitePolicy });
    await eventually('the change', () => mirror.epochs.get('s1') === 2 && mirror.epochs.get('s2') === 1);
    assert.equal(mirror.rows.size, 2);
    await b.fleet.setSiteSettings('s1', { variables: { a: 2 }, policy: defaultSitePolicy });
    assert.equal(mirror.epochs.get('s1'), 3, 'an own change is heard before it is acknowledged');
  });

  test('without notifications nothing is lost, only later', async (t) => {
    const database = await postgres.database(t);
    const [a, b] = await Promise.all([
      openPostgresStoreForTest(t, database.url),
      openPostgresStoreForTest(t, database.url),
    ]);
    const stop = new AbortController();
    const seen = follow(b, 'things.example', stop.signal);
    for (let round = 0; round < 3; round++) {
      const ended = await database.sql(
        `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'selvedge watch%'`,
      );
      assert.ok(Number(ended) >= 1);
      const made = await a.objects.create(key(`n${round}`), '{}');
      await eventually('the event', () => seen.events.some((e) => revisionOf(e) === made.revision));
    }
    stop.abort();
    assert.equal(seen.events.length, 3);
  });

  test('heartbeats told to one hub are seen by the other, the newest one counts', async (t) => {
    const [a, b] = (await openStores(t, 2)) as [Store, Store];
    const beat = (second: number) => ({
      site: 's1',
      lastSeenAt: `2026-01-01T00:00:0${second}.000Z`,
      agentEpoch: second,
      agentStateDigest: 'd',
    });
    a.fleet.touch(beat(1));
    await eventually('the heartbeat', async () => (await b.fleet.heartbeats()).get('s1')?.agentEpoch === 1);
    b.fleet.touch(beat(3));
    await eventually('the newer one', async () => (await a.fleet.heartbeats()).get('s1')?.agentEpoch === 3);
    a.fleet.touch(beat(2));
    await systemClock.sleep(1500);
    assert.equal((await b.fleet.heartbeats()).get('s1')?.agentEpoch, 3);
  });

  test('several hubs may compact at once; a watch on any of them goes on or is Expired', async (t) => {
    const stores = await openStores(t, 3);
    const [a] = stores as [Store];
    const stop = new AbortController();
    const seen = stores.map((store) => follow(store, 'things.example', stop.signal));
    for (let i = 0; i < 200; i++) {
      const made = await a.objects.create(key('one'), '{}');
      await a.objects.delete(made.key, made.revision);
      if (i % 50 === 49) {
        const revision = await a.objects.currentRevision();
        await Promise.all(stores.map((store) => store.objects.compact(revision - 10)));
      }
    }
    const current = await a.objects.currentRevision();
    await Promise.all(stores.map((store) => store.objects.currentRevision()));
    for (const watch of seen) {
      await eventually('the watch', () => watch.position >= current);
      assert.equal(watch.events.length, 400);
    }
    stop.abort();
    const old = { resource: 'things.example', atRevision: current - 100 };
    for (const { objects } of stores) await assert.rejects(objects.list(old), { reason: 'Expired' });
    assert.deepEqual((await a.verify(new AbortController().signal)).problems, []);
  });

  test('a key that another hub still seals with stays needed until it is out of use', async (t) => {
    const { url } = await postgres.database(t);
    const ring = (fill: number, ...others: number[]) => ({
      active: new Uint8Array(32).fill(fill),
      others: others.map((other) => new Uint8Array(32).fill(other)),
    });
    const sensitive = { sensitiveResources: new Set(['others']) };
    const { signal } = new AbortController();
    const c = await openPostgresStoreForTest(t, url, { ...sensitive, keys: ring(1) });
    const a = await openPostgresStoreForTest(t, url, { ...sensitive, keys: ring(1, 2) });
    await assert.rejects(a.useKeys(ring(2, 1)), /has not the key/);
    await c.close();
    const b = await openPostgresStoreForTest(t, url, { ...sensitive, keys: ring(1, 2) });
    await a.objects.create(key('a', 'others'), '{"of":"a"}');
    await a.useKeys(ring(2, 1));
    await a.reseal(signal);
    const late = await b.objects.create(key('late', 'others'), '{"of":"b"}');
    await assert.rejects(a.useKeys(ring(2)), { reason: 'BadRequest' });
    await b.useKeys(ring(2, 1));
    await Promise.all([a.reseal(signal), b.reseal(signal)]);
    await a.useKeys(ring(2));
    assert.deepEqual(await a.objects.find(late.key), late);
    assert.deepEqual(Object.keys((await a.verify(signal)).sealedBy).length, 1);
  });
});

/** Creates, updates and deletes objects that others write too, and assigns. */
async function write(store: Store, writer: number, rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const at = key(`n${(writer + i) % 5}`, resources[i % 2]);
    try {
      const present = await store.objects.find(at);
      const body = `{"writer":${writer},"i":${i}}`;
      if (present === undefined) await store.objects.create(at, body);
      else if (i % 4 === 3) await store.objects.delete(at, present.revision);
      else await store.objects.update(at, body, present.revision);
    } catch (error) {
      const isRace = ['AlreadyExists', 'Conflict', 'NotFound'].some((reason) =>
        isStatusError(error, reason as 'Conflict'),
      );
      if (!isRace) throw error;
    }
    if (i % 3 === 0) await store.fleet.assign([assignment(`s${i % 4}`, `sha256:${writer} ${i}`)]);
  }
}

interface Seen {
  readonly events: StoreEvent[];
  position: number;
}

/** Collects what a watch from the beginning gives, progress left out. */
function follow(store: Store, resource: string, signal: AbortSignal): Seen {
  const seen: Seen = { events: [], position: 0 };
  void (async () => {
    for await (const event of store.objects.watch({ resource, fromRevision: 1, signal })) {
      seen.position = revisionOf(event);
      if (event.type !== 'progress') seen.events.push(event);
    }
  })();
  return seen;
}

async function replay(store: Store, resource: string): Promise<StoreEvent[]> {
  const events: StoreEvent[] = [];
  const { signal } = new AbortController();
  for await (const event of store.objects.watch({ resource, fromRevision: 1, signal })) {
    if (event.type === 'progress') break;
    events.push(event);
  }
  return events;
}

function fold(events: readonly StoreEvent[]): StoredObject[] {
  const living = new Map<string, StoredObject>();
  let last = 0;
  for (const event of events) {
    if (event.type === 'progress') continue;
    assert.ok(event.object.revision > last);
    last = event.object.revision;
    if (event.type === 'put') living.set(event.object.key.name, event.object);
    else living.delete(event.object.key.name);
  }
  return [...living.values()].toSorted((a, b) => (a.key.name < b.key.name ? -1 : 1));
}

const revisionOf = (event: StoreEvent): number =>
  event.type === 'progress' ? event.revision : event.object.revision;

/** Rows and epochs built from `onChange` alone. */
class FleetMirror {
  readonly rows = new Map<string, DeliveryRow>();
  readonly epochs = new Map<string, number>();
  #revision = 0;

  constructor({ fleet }: Store) {
    fleet.onChange((change) => {
      if (change.kind === 'site') {
        assert.ok(change.epoch > (this.epochs.get(change.site) ?? 0), 'an epoch never goes back');
        this.epochs.set(change.site, change.epoch);
        return;
      }
      assert.ok(change.row.revision > this.#revision, 'rows come in the order of their revisions');
      this.#revision = change.row.revision;
      this.rows.set(`${change.row.site}/${change.row.application}`, change.row);
    });
  }
}
