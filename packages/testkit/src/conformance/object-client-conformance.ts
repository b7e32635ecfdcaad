import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type ConfigMap,
  configMaps,
  isAlreadyExists,
  isConflict,
  isExpired,
  isNotFound,
  isStatusError,
  type ObjectClient,
  type Site,
  type StatusError,
  sites,
  type WatchEvent,
} from '@selvedge/api';

/** Gives the client under test; called once per test, of one server with the hub's kinds. */
export type OpenClient = () => Promise<ObjectClient>;

let lastNumber = 0;
/** Tests share a server, so each takes names of its own. */
const freshName = (prefix: string): string => {
  lastNumber += 1;
  return `${prefix}-${process.pid}-${lastNumber}`;
};
const site = (name: string, spec: Site['spec'] = {}): Site => ({
  apiVersion: 'selvedge.dev/v1alpha1',
  kind: 'Site',
  metadata: { name },
  spec,
});
const configMap = (
  name: string,
  data: Record<string, string>,
  labels: Record<string, string> = {},
): ConfigMap => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'default', labels },
  data,
});

/** What `ObjectClient` promises, in process and over HTTPS alike. */
export function objectClientConformance(name: string, open: OpenClient): void {
  describe(`${name} as an ObjectClient`, () => {
    reads(open);
    writes(open);
    applies(open);
    watches(open);
  });
}

function reads(open: OpenClient): void {
  test('what was created is got, found and listed, with the metadata of the server', async () => {
    const client = await open();
    const label = freshName('reads');
    const created = await client.create<ConfigMap>(
      configMaps,
      configMap(freshName('a'), { text: 'Grüße 🧵' }, { label }),
    );
    const { name, uid, resourceVersion, creationTimestamp } = created.metadata;
    assert.ok(uid && resourceVersion && creationTimestamp);
    assert.deepEqual(await client.get(configMaps, { namespace: 'default', name }), created);
    assert.deepEqual(await client.find(configMaps, { namespace: 'default', name }), created);
    const list = await client.list<ConfigMap>(configMaps, { labelSelector: `label=${label}` });
    assert.equal(list.kind, 'ConfigMapList');
    assert.ok(Number(list.metadata.resourceVersion) >= Number(resourceVersion));
    assert.deepEqual(
      list.items.map((item) => item.data),
      [{ text: 'Grüße 🧵' }],
    );
    const elsewhere = await client.list(configMaps, {
      namespace: 'kube-system',
      labelSelector: `label=${label}`,
    });
    assert.deepEqual(elsewhere.items, []);
  });

  test('what is not there: get throws NotFound that names it, find gives undefined', async () => {
    const client = await open();
    const name = freshName('missing');
    await assert.rejects(client.get(sites, { name }), (e: StatusError) => {
      assert.ok(isNotFound(e));
      assert.equal(e.details.name, name);
      return true;
    });
    assert.equal(await client.find(sites, { name }), undefined);
  });
}

function writes(open: OpenClient): void {
  test('a name is taken once', async () => {
    const client = await open();
    const name = freshName('twice');
    await client.create(sites, site(name));
    await assert.rejects(client.create(sites, site(name)), isAlreadyExists);
  });

  test('an update with an older resourceVersion is a Conflict and changes nothing', async () => {
    const client = await open();
    const first = await client.create<ConfigMap>(configMaps, configMap(freshName('raced'), { n: '1' }));
    const second = await client.update<ConfigMap>(configMaps, { ...first, data: { n: '2' } });
    await assert.rejects(client.update<ConfigMap>(configMaps, { ...first, data: { n: '3' } }), isConflict);
    const { name } = first.metadata;
    assert.deepEqual(await client.get<ConfigMap>(configMaps, { namespace: 'default', name }), second);
    assert.deepEqual(second.data, { n: '2' });
  });

  test('updateStatus writes the status only, update all but the status', async () => {
    const client = await open();
    const { name } = (await client.create<Site>(sites, site(freshName('status'), { displayName: 'spec' })))
      .metadata;
    const condition = {
      type: 'Tested',
      status: 'True' as const,
      reason: 'Test',
      message: 'yes',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const told = await changing(client, name, (present) =>
      client.updateStatus<Site>(sites, {
        ...present,
        spec: { displayName: 'not written' },
        status: { conditions: [condition] },
      }),
    );
    assert.equal(told.spec?.displayName, 'spec');
    assert.deepEqual(told.status?.conditions, [condition]);
    assert.equal(told.metadata.generation, 1);
    const updated = await changing(client, name, (present) =>
      client.update<Site>(sites, { ...present, spec: { displayName: 'new' }, status: {} }),
    );
    assert.equal(updated.spec?.displayName, 'new');
    assert.equal(updated.metadata.generation, 2);
    assert.ok(updated.status?.conditions?.some((c) => c.type === 'Tested'));
  });

  test('a merge patch sets and, with null, takes away; with a resourceVersion it is compare-and-set', async () => {
    const client = await open();
    const { name } = (await client.create(configMaps, configMap(freshName('patched'), { a: '1', b: '2' })))
      .metadata;
    const at = { namespace: 'default', name };
    const patched = await client.mergePatch<ConfigMap>(configMaps, at, { data: { a: null, c: '3' } });
    assert.deepEqual(patched.data, { b: '2', c: '3' });
    const stale = { metadata: { resourceVersion: '1' }, data: { d: '4' } };
    await assert.rejects(client.mergePatch(configMaps, at, stale), isConflict);
  });

  test('what is wrong is refused with the path of the field', async () => {
    const client = await open();
    const wrong = site(freshName('wrong'), { timeZone: 'Mars/Olympus' });
    await assert.rejects(client.create(sites, wrong), (e: StatusError) => {
      assert.ok(isStatusError(e, 'Invalid'));
      assert.equal(e.details.causes?.[0]?.field, 'spec.timeZone');
      return true;
    });
  });

  test('a deletion heeds its preconditions and happens once', async () => {
    const client = await open();
    const { metadata } = await client.create(configMaps, configMap(freshName('deleted'), {}));
    const another = { preconditions: { uid: '00000000-0000-4000-8000-000000000000' } };
    await assert.rejects(client.delete(configMaps, metadata, another), isConflict);
    await client.delete(configMaps, metadata);
    assert.equal(await client.find(configMaps, metadata), undefined);
    await assert.rejects(client.delete(configMaps, metadata), isNotFound);
  });
}

function applies(open: OpenClient): void {
  test('an apply makes the object, owns its fields, and conflicts with other owners unless forced', async () => {
    const client = await open();
    const wanted = configMap(freshName('applied'), { a: '1' });
    await client.apply(configMaps, wanted, { fieldManager: 'first' });
    const other = { ...wanted, data: { a: '2', b: '2' } };
    await assert.rejects(client.apply(configMaps, other, { fieldManager: 'second' }), (e: StatusError) => {
      assert.ok(isConflict(e));
      assert.equal(e.details.causes?.[0]?.reason, 'FieldManagerConflict');
      return true;
    });
    const forced = await client.apply<ConfigMap>(configMaps, other, { fieldManager: 'second', force: true });
    assert.deepEqual(forced.data, { a: '2', b: '2' });
    const without = await client.apply<ConfigMap>(
      configMaps,
      { ...wanted, data: {} },
      { fieldManager: 'second' },
    );
    assert.deepEqual(without.data ?? {}, {});
  });
}

function watches(open: OpenClient): void {
  test('a watch from a list misses nothing and tells nothing twice', async () => {
    const client = await open();
    const label = freshName('watched');
    const query = { namespace: 'default', labelSelector: `label=${label}` };
    const { metadata } = await client.list(configMaps, query);
    const [a, b] = [freshName('a'), freshName('b')];
    await client.create(configMaps, configMap(a, {}, { label }));
    const events = collect(client, { ...query, resourceVersion: metadata.resourceVersion }, 5);
    await client.create(configMaps, configMap(b, { text: 'é'.repeat(100_000) }, { label }));
    await client.mergePatch(configMaps, { namespace: 'default', name: a }, { data: { x: 'y' } });
    await client.mergePatch(
      configMaps,
      { namespace: 'default', name: b },
      { metadata: { labels: { label: 'other' } } },
    );
    await client.delete(configMaps, { namespace: 'default', name: a });
    const told = await events;
    assert.deepEqual(
      told.map((event) => event.type === 'BOOKMARK' || `${event.type} ${event.object.metadata.name}`),
      [`ADDED ${a}`, `ADDED ${b}`, `MODIFIED ${a}`, `DELETED ${b}`, `DELETED ${a}`],
    );
    const versions = told.map(
      (event) => event.type === 'BOOKMARK' || Number(event.object.metadata.resourceVersion),
    );
    assert.deepEqual(
      versions,
      versions.toSorted((x, y) => Number(x) - Number(y)),
    );
  });

  test('a watch from a revision that is not kept throws Expired', async () => {
    const client = await open();
    const watch = client.watch(sites, {
      resourceVersion: '999999999',
      signal: AbortSignal.timeout(20_000),
    });
    await assert.rejects(Array.fromAsync(watch), isExpired);
  });

  test('a watch ends quietly when its signal fires', async () => {
    const client = await open();
    const { metadata } = await client.list(sites);
    const stop = new AbortController();
    const watch = Array.fromAsync(
      client.watch(sites, { resourceVersion: metadata.resourceVersion, signal: stop.signal }),
    );
    setImmediate(() => stop.abort());
    await watch;
  });
}

/** Reads and writes until no controller writes in between. */
async function changing(
  client: ObjectClient,
  name: string,
  write: (present: Site) => Promise<Site>,
): Promise<Site> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await write(await client.get<Site>(sites, { name }));
    } catch (error) {
      if (!isConflict(error) || attempt === 20) throw error;
    }
  }
}

/** The next `count` events that are no bookmarks. */
async function collect(
  client: ObjectClient,
  query: { namespace: string; labelSelector: string; resourceVersion: string },
  count: number,
): Promise<WatchEvent<ConfigMap>[]> {
  const stop = new AbortController();
  const told: WatchEvent<ConfigMap>[] = [];
  for await (const event of client.watch<ConfigMap>(configMaps, { ...query, signal: stop.signal })) {
    if (event.type !== 'BOOKMARK' && told.push(event) === count) stop.abort();
  }
  return told;
}
