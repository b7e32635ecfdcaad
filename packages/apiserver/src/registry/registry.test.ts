import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  configMaps,
  isAlreadyExists,
  isConflict,
  isExpired,
  isNotFound,
  isStatusError,
  type KubeObject,
  namespaces,
  type ResourceRef,
  secrets,
  type StatusError,
} from '@selvedge/api';
import type { VirtualResourceDefinition } from '../resource-definition.ts';
import { gadgetDefinition, gadgets, sampleDefinitions } from '../testing/sample-definitions.ts';
import { eventually, startTestServer, type TestServer } from '../testing/test-server.ts';

const gadget = (name: string, spec: object = { size: 1 }, metadata: object = {}): KubeObject => ({
  apiVersion: 'example.dev/v1alpha1',
  kind: 'Gadget',
  metadata: { name, namespace: 'default', ...metadata },
  spec,
});
const configMap = (name: string, namespace = 'default', metadata: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace, ...metadata },
  data: { a: '1' },
});
const at = (name: string, namespace = 'default') => ({ name, namespace });
const messageOf = (text: RegExp, reason: StatusError['reason']) => (error: unknown) => {
  assert.ok(isStatusError(error, reason), `${String(error)} is not ${reason}`);
  assert.match(error.message, text);
  return true;
};

describe('the in-process client', () => {
  let server: TestServer;
  let client: TestServer['client'];
  before(async () => {
    server = await startTestServer();
    client = server.client;
  });
  after(() => server.close());

  test('creates with defaults, identity and generation 1', async () => {
    const made = await client.create(gadgets, gadget('new'));
    assert.deepEqual(made['spec'], { size: 1, color: 'red' });
    assert.match(made.metadata.uid ?? '', /^[0-9a-f-]{36}$/);
    assert.equal(made.metadata.generation, 1);
    assert.match(made.metadata.creationTimestamp ?? '', /^\d{4}-.*:\d\dZ$/);
    assert.deepEqual(await client.get(gadgets, at('new')), made);
    await assert.rejects(client.create(gadgets, gadget('new')), isAlreadyExists);
  });

  test('makes a name where only a prefix is given', async () => {
    const made = await client.create(gadgets, gadget('', { size: 1 }, { generateName: 'auto-' }));
    assert.match(made.metadata.name, /^auto-[a-z0-9]{5}$/);
  });

  test('refuses wrong input with the path of the field', async () => {
    const create = (object: KubeObject) => client.create(gadgets, object);
    await assert.rejects(
      create(gadget('Bad_Name')),
      messageOf(/metadata\.name: Invalid value: "Bad_Name"/, 'Invalid'),
    );
    await assert.rejects(create(gadget('x', { size: 0 })), messageOf(/spec\.size: .*at least 1/, 'Invalid'));
    await assert.rejects(create(gadget('x', { size: 13 })), messageOf(/spec\.size: .*bad luck/, 'Invalid'));
    await assert.rejects(
      create(gadget('x', { size: 1, odd: 1 })),
      messageOf(/unknown field "spec\.odd"/, 'BadRequest'),
    );
    await assert.rejects(
      create(gadget('x', { size: 1 }, { labels: { 'a b': 'c' } })),
      messageOf(/metadata\.labels/, 'Invalid'),
    );
    await assert.rejects(
      create(gadget('x', { size: 1 }, { labels: { a: '-' } })),
      messageOf(/metadata\.labels/, 'Invalid'),
    );
    const long = { annotations: { a: 'x'.repeat(300_000) } };
    await assert.rejects(create(gadget('x', { size: 1 }, long)), messageOf(/--server-side/, 'Invalid'));
    await assert.rejects(create(gadget('x', { size: 1 }, { resourceVersion: '5' })), isStatusError);
    await assert.rejects(create({ ...gadget('x'), kind: 'Other' }), messageOf(/is .* Other/, 'BadRequest'));
    await assert.rejects(create(gadget('x', { size: 1 }, { namespace: 'none' })), isNotFound);
  });

  test('an object that is too large is refused with what to do', async () => {
    const notes = Array.from({ length: 4 }, () => 'x'.repeat(1024 * 1024));
    await assert.rejects(
      client.create(gadgets, gadget('big', { size: 1, notes })),
      messageOf(/3 MiB.*split/, 'RequestEntityTooLarge'),
    );
  });

  test('an update needs the newest resourceVersion and counts generations of the spec only', async () => {
    const made = await client.create(gadgets, gadget('gen'));
    const { resourceVersion: _, ...unversioned } = made.metadata;
    await assert.rejects(
      client.update(gadgets, { ...made, metadata: unversioned }),
      messageOf(/must be specified/, 'Invalid'),
    );
    const labelled = await client.update(gadgets, {
      ...made,
      metadata: { ...made.metadata, labels: { a: 'b' } },
    });
    assert.equal(labelled.metadata.generation, 1);
    await assert.rejects(client.update(gadgets, { ...made, spec: { size: 2 } }), isConflict);
    const changed = await client.update(gadgets, { ...labelled, spec: { size: 2 } });
    assert.equal(changed.metadata.generation, 2);
    const wrongUid = { ...changed, metadata: { ...changed.metadata, uid: 'other' } };
    await assert.rejects(client.update(gadgets, wrongUid), isConflict);
  });

  test('what the server sets cannot be changed', async () => {
    const made = await client.create(gadgets, gadget('fixed'));
    const metadata = {
      ...made.metadata,
      creationTimestamp: '2001-01-01T00:00:00Z',
      generation: 77,
      deletionTimestamp: '2001-01-01T00:00:00Z',
    };
    const updated = await client.update(gadgets, { ...made, metadata });
    assert.deepEqual(updated, made, 'nothing else was in it, so nothing was written');
  });

  test('a write that changes nothing makes no new revision', async () => {
    const made = await client.create(gadgets, gadget('same'));
    const revision = await server.store.objects.currentRevision();
    assert.deepEqual(await client.update(gadgets, made), made);
    assert.deepEqual(await client.mergePatch(gadgets, at('same'), { spec: { size: 1 } }), made);
    await client.apply(gadgets, gadget('same'), { fieldManager: 'm' });
    const applied = await server.store.objects.currentRevision();
    await client.apply(gadgets, gadget('same'), { fieldManager: 'm' });
    assert.equal(await server.store.objects.currentRevision(), applied);
    assert.equal(applied, revision + 1, 'the first apply brought a new owner');
  });

  test('status is written through its subresource only, the rest never there', async () => {
    const made = await client.create<KubeObject>(gadgets, { ...gadget('st'), status: { phase: 'Sent' } });
    assert.equal(made['status'], undefined);
    const status = await client.updateStatus(gadgets, {
      ...made,
      spec: { size: 9 },
      status: { phase: 'Good' },
    });
    assert.deepEqual([status['spec'], status['status']], [made['spec'], { phase: 'Good' }]);
    assert.equal(status.metadata.generation, 1);
    const patched = await client.mergePatch(
      gadgets,
      at('st'),
      { status: { seen: 3 } },
      { subresource: 'status' },
    );
    assert.deepEqual(patched['status'], { phase: 'Good', seen: 3 });
    const main = await client.mergePatch(gadgets, at('st'), { status: { seen: 4 }, spec: { size: 2 } });
    assert.deepEqual([main['status'], main.metadata.generation], [{ phase: 'Good', seen: 3 }, 2]);
    const wrong = client.mergePatch(gadgets, at('st'), { status: { seen: 'x' } }, { subresource: 'status' });
    await assert.rejects(wrong, messageOf(/status\.seen/, 'Invalid'));
  });

  test('patches by many at once all count', async () => {
    await client.create(gadgets, gadget('busy'));
    const names = Array.from({ length: 60 }, (_, i) => `v${i}`);
    await Promise.all(
      names.map((n) => client.mergePatch(gadgets, at('busy'), { spec: { variables: { [n]: 1 } } })),
    );
    const { variables } = (await client.get(gadgets, at('busy')))['spec'] as { variables: object };
    assert.deepEqual(new Set(Object.keys(variables)), new Set(names));
  });

  test('applies by many at once make one object', async () => {
    const managers = ['a', 'b', 'c', 'd'];
    await Promise.all(
      managers.map((m) =>
        client.apply(gadgets, gadget('together', { size: 1, tags: [m] }), { fieldManager: m }),
      ),
    );
    const { tags } = (await client.get(gadgets, at('together')))['spec'] as { tags: string[] };
    assert.deepEqual(tags.toSorted(), managers);
  });

  test('an apply that races with a deletion makes the object anew', async () => {
    for (let round = 0; round < 20; round++) {
      await client.apply(gadgets, gadget('fleeting'), { fieldManager: 'a' });
      await Promise.all([
        client.delete(gadgets, at('fleeting')),
        client.apply(gadgets, gadget('fleeting', { size: (round % 9) + 1 }), { fieldManager: 'a' }),
      ]);
    }
  });

  test('finalizers hold a deleted object until they are gone', async () => {
    const made = await client.create(
      gadgets,
      gadget('held', { size: 1 }, { finalizers: ['example.dev/wait'] }),
    );
    await client.delete(gadgets, at('held'));
    const marked = await client.get(gadgets, at('held'));
    assert.ok(marked.metadata.deletionTimestamp);
    assert.equal(marked.metadata.generation, 2);
    await client.delete(gadgets, at('held'));
    assert.deepEqual(await client.get(gadgets, at('held')), marked, 'deleting twice changes nothing');
    const more = client.mergePatch(gadgets, at('held'), {
      metadata: { finalizers: ['example.dev/wait', 'example.dev/b'] },
    });
    await assert.rejects(more, messageOf(/no new finalizers/, 'Invalid'));
    await client.mergePatch(gadgets, at('held'), { metadata: { finalizers: null } });
    assert.equal(await client.find(gadgets, at('held')), undefined);
    const again = await client.create(gadgets, gadget('held'));
    assert.notEqual(again.metadata.uid, made.metadata.uid);
    const preconditions = { uid: made.metadata.uid ?? '' };
    await assert.rejects(client.delete(gadgets, at('held'), { preconditions }), isConflict);
  });

  test('secrets: stringData is merged by the definition, values are not quoted', async () => {
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: at('s'), stringData: { a: 'hunter2' } };
    const made = await client.create<KubeObject>(secrets, secret);
    assert.deepEqual(made['data'], { a: Buffer.from('hunter2').toString('base64') });
    assert.equal('stringData' in made, false);
    const wrong = client.create<KubeObject>(secrets, {
      ...secret,
      metadata: at('t'),
      data: { b: 'hunter2!' },
    });
    await assert.rejects(wrong, (error: Error) => !error.message.includes('hunter2'));
  });

  test('lists by label and field', async () => {
    for (const [name, color] of Object.entries({ 'l-1': 'red', 'l-2': 'green', 'l-3': 'green' })) {
      await client.create(gadgets, gadget(name, { size: 1, color }, { labels: { list: name } }));
    }
    const names = async (options: object) =>
      (await client.list(gadgets, options)).items.map((o) => o.metadata.name);
    assert.deepEqual(await names({ labelSelector: 'list', fieldSelector: 'spec.color=green' }), [
      'l-2',
      'l-3',
    ]);
    assert.deepEqual(await names({ labelSelector: 'list notin (l-2),list' }), ['l-1', 'l-3']);
    assert.deepEqual(await names({ namespace: 'default', fieldSelector: 'metadata.name=l-2' }), ['l-2']);
    await assert.rejects(
      names({ fieldSelector: 'spec.size=1' }),
      messageOf(/not supported: spec\.size/, 'BadRequest'),
    );
    // Of a kind that a careless pattern would take hours for.
    assert.deepEqual(await names({ fieldSelector: `metadata.name=${' '.repeat(20_000)}x\nx` }), []);
    await assert.rejects(names({ labelSelector: 'a=,=' }), messageOf(/label selector/, 'BadRequest'));
  });

  test('what is not served is NotFound, a user without rights is refused', async () => {
    const other: ResourceRef = { ...gadgets, plural: 'others' };
    await assert.rejects(client.list(other), isNotFound);
    const nobody = server.api.client({ name: 'nobody', groups: [] });
    await assert.rejects(nobody.list(gadgets), messageOf(/User "nobody" cannot list/, 'Forbidden'));
  });

  test('a watch tells what comes into a selection and what leaves it', async () => {
    const stop = new AbortController();
    const { metadata } = await client.list(gadgets);
    const seen: string[] = [];
    const options = { ...metadata, labelSelector: 'watch=me', signal: stop.signal };
    const watching = (async () => {
      for await (const event of client.watch(gadgets, options)) {
        if (event.type !== 'BOOKMARK') seen.push(`${event.type} ${event.object.metadata.name}`);
      }
    })();
    await client.create(gadgets, gadget('w', { size: 1 }, { labels: { watch: 'not' } }));
    for (const value of ['me', 'not', 'me']) {
      await client.mergePatch(gadgets, at('w'), { metadata: { labels: { watch: value } } });
    }
    await client.mergePatch(gadgets, at('w'), { spec: { size: 3 } });
    await client.delete(gadgets, at('w'));
    await eventually(async () => (seen.length >= 5 ? true : undefined));
    stop.abort();
    await watching;
    assert.deepEqual(seen, ['ADDED w', 'DELETED w', 'ADDED w', 'MODIFIED w', 'DELETED w']);
  });

  test('a watch from a revision that is not kept, or not there yet, is expired', async () => {
    const { signal } = new AbortController();
    const begin = (resourceVersion: string) =>
      client.watch(gadgets, { resourceVersion, signal })[Symbol.asyncIterator]().next();
    await assert.rejects(begin('999999'), isExpired);
    await server.store.objects.compact(await server.store.objects.currentRevision());
    await assert.rejects(begin('2'), isExpired);
  });
});

describe('namespaces', () => {
  const namespace = (name: string, metadata: object = {}): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, ...metadata },
  });
  const gone = (server: TestServer, name: string) =>
    eventually(async () => ((await server.client.find(namespaces, { name })) ? undefined : true));

  test('there is a default one, and a new one is completed by the server', async (t) => {
    const server = await startTestServer();
    t.after(() => server.close());
    const { client } = server;
    assert.ok(await client.find(namespaces, { name: 'default' }));
    const made = await client.create(namespaces, namespace('shop'));
    assert.deepEqual([made['spec'], made['status']], [{ finalizers: ['kubernetes'] }, { phase: 'Active' }]);
    assert.equal(made.metadata.labels?.['kubernetes.io/metadata.name'], 'shop');
    await assert.rejects(client.create(namespaces, namespace('a.b')), messageOf(/metadata\.name/, 'Invalid'));
  });

  test('a deleted one takes its contents with it, and takes no new ones', async (t) => {
    const server = await startTestServer();
    t.after(() => server.close());
    const { client } = server;
    await client.create(namespaces, namespace('shop'));
    await client.create(configMaps, configMap('plain', 'shop'));
    await client.create(configMaps, configMap('held', 'shop', { finalizers: ['example.dev/wait'] }));
    await client.create(configMaps, configMap('other'));
    await client.delete(namespaces, { name: 'shop' });
    const marked = await client.get<KubeObject>(namespaces, { name: 'shop' });
    assert.deepEqual(marked['status'], { phase: 'Terminating' });
    await assert.rejects(
      client.create(configMaps, configMap('late', 'shop')),
      messageOf(/being terminated/, 'Forbidden'),
    );
    await eventually(async () => ((await client.find(configMaps, at('plain', 'shop'))) ? undefined : true));
    assert.ok(await client.find(configMaps, at('held', 'shop')), 'finalizers are respected');
    await client.mergePatch(configMaps, at('held', 'shop'), { metadata: { finalizers: [] } });
    await gone(server, 'shop');
    assert.ok(await client.find(configMaps, at('other')));
  });

  test('deletion goes on after a restart in the middle', async (t) => {
    let server = await startTestServer();
    t.after(() => server.close());
    await server.client.create(namespaces, namespace('shop'));
    const held = { finalizers: ['example.dev/wait'] };
    for (const name of ['a', 'b']) await server.client.create(configMaps, configMap(name, 'shop', held));
    await server.client.delete(namespaces, { name: 'shop' });
    server = await server.restart();
    for (const name of ['a', 'b']) {
      await server.client.mergePatch(configMaps, at(name, 'shop'), { metadata: { finalizers: null } });
    }
    await gone(server, 'shop');
  });

  test('a finalizer of somebody else holds the empty namespace', async (t) => {
    const server = await startTestServer();
    t.after(() => server.close());
    const { client } = server;
    await client.create(namespaces, namespace('shop', { finalizers: ['example.dev/wait'] }));
    await client.delete(namespaces, { name: 'shop' });
    await eventually(async () => {
      const { spec } = await client.get<KubeObject>(namespaces, { name: 'shop' });
      return (spec as { finalizers: string[] }).finalizers.length === 0 ? true : undefined;
    });
    await client.mergePatch(namespaces, { name: 'shop' }, { metadata: { finalizers: null } });
    await gone(server, 'shop');
  });

  test('creations that race with the deletion leave nothing behind', async (t) => {
    const server = await startTestServer();
    t.after(() => server.close());
    const { client } = server;
    await client.create(namespaces, namespace('shop'));
    const creations = Array.from({ length: 40 }, async (_, i) => {
      if (i === 20) await client.delete(namespaces, { name: 'shop' });
      await client.create(configMaps, configMap(`c${i}`, 'shop'));
    });
    const results = await Promise.allSettled(creations);
    assert.ok(results.some((r) => r.status === 'rejected'));
    await gone(server, 'shop');
    assert.deepEqual((await client.list(configMaps, { namespace: 'shop' })).items, []);
  });
});

describe('a virtual resource', () => {
  const ref: ResourceRef = { ...gadgets, plural: 'rows', kind: 'Row' };
  const row = (name: string, size: number): KubeObject => ({
    apiVersion: 'example.dev/v1alpha1',
    kind: 'Row',
    metadata: { name, namespace: 'default', resourceVersion: '1', labels: { size: String(size) } },
    spec: { size },
  });
  const rows = new Map([
    ['a', row('a', 1)],
    ['b', row('b', 2)],
  ]);
  const definition: VirtualResourceDefinition = {
    ref,
    singular: 'row',
    description: 'A row from elsewhere.',
    schema: gadgetDefinition.schema,
    columns: gadgetDefinition.columns,
    statusSubresource: false,
    source: {
      list: async () => ({ objects: [...rows.values()], revision: 1 }),
      find: async (_, name) => rows.get(name),
      watch: async function* () {
        yield { type: 'MODIFIED', object: row('b', 3) };
        yield { type: 'MODIFIED', object: row('a', 2) };
        yield { type: 'MODIFIED', object: row('c', 9) };
        yield { type: 'DELETED', object: row('a', 2) };
      },
    },
  };

  test('is listed and watched as others are, and refuses writes', async (t) => {
    const server = await startTestServer({ definitions: [...sampleDefinitions, definition] });
    t.after(() => server.close());
    const { client } = server;
    assert.equal((await client.list(ref, { labelSelector: 'size=2' })).items.length, 1);
    assert.equal((await client.get(ref, at('a'))).metadata.name, 'a');
    await assert.rejects(client.get(ref, at('z')), isNotFound);
    const { signal } = new AbortController();
    const seen: string[] = [];
    for await (const event of client.watch(ref, { resourceVersion: '1', labelSelector: 'size=2', signal })) {
      if (event.type !== 'BOOKMARK') seen.push(`${event.type} ${event.object.metadata.name}`);
    }
    assert.deepEqual(seen, ['DELETED b', 'ADDED a', 'DELETED a']);
    await assert.rejects(client.create(ref, row('x', 1)), messageOf(/read-only/, 'MethodNotAllowed'));
    await assert.rejects(client.delete(ref, at('a')), messageOf(/read-only/, 'MethodNotAllowed'));
    const answer = await server.request('PUT', '/apis/example.dev/v1alpha1/namespaces/default/rows/a', {
      body: row('a', 1),
    });
    assert.equal(answer.status, 405);
  });
});
