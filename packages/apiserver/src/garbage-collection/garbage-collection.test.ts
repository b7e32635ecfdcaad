import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  configMaps,
  events,
  type KubeObject,
  namespaces,
  type OwnerReference,
  type ResourceRef,
} from '@selvedge/api';
import { gadgets } from '../testing/sample-definitions.ts';
import { eventually, startTestServer, type TestServer } from '../testing/test-server.ts';

let server: TestServer;
let namespace = '';

interface Making {
  readonly kind?: ResourceRef;
  readonly owners?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
}

async function make(name: string, { kind = gadgets, owners = [], finalizers = [] }: Making = {}) {
  return server.client.create(kind, {
    apiVersion: kind.group ? `${kind.group}/${kind.version}` : kind.version,
    kind: kind.kind,
    metadata: {
      name,
      ...(kind.namespaced ? { namespace } : {}),
      ...(owners.length > 0 ? { ownerReferences: [...owners] } : {}),
      ...(finalizers.length > 0 ? { finalizers: [...finalizers] } : {}),
    },
    ...(kind === gadgets ? { spec: { size: 1 } } : {}),
  });
}

const ownedBy = (owner: KubeObject, blockOwnerDeletion?: boolean): OwnerReference => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid ?? '',
  ...(blockOwnerDeletion === undefined ? {} : { blockOwnerDeletion }),
});

const path = (name: string) => `/apis/example.dev/v1alpha1/namespaces/${namespace}/gadgets/${name}`;
const remove = (name: string, body?: object) =>
  server.request(
    'DELETE',
    path(name),
    body ? { body: { kind: 'DeleteOptions', apiVersion: 'v1', ...body } } : {},
  );
const find = (name: string, kind: ResourceRef = gadgets) =>
  server.client.find(kind, kind.namespaced ? { namespace, name } : { name });
const isGone = (name: string, kind: ResourceRef = gadgets) =>
  eventually(async () => ((await find(name, kind)) ? undefined : true));
const ownersOf = async (name: string, kind: ResourceRef = gadgets) =>
  ((await find(name, kind))?.metadata.ownerReferences ?? []).map((owner) => owner.name);

/** Resolves when what was done before has been looked at: a dependent made now of an owner that is not there is gone. */
async function settled(): Promise<void> {
  const mark = await make(`mark-${crypto.randomUUID()}`, {
    kind: configMaps,
    owners: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'never', uid: crypto.randomUUID() }],
  });
  await isGone(mark.metadata.name, configMaps);
}

describe('garbage collection', () => {
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());
  beforeEach(async () => {
    namespace = `gc-${crypto.randomUUID().slice(0, 8)}`;
    await server.client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace },
    });
  });

  test('in the background dependents go after their owner, and theirs after them', async () => {
    const owner = await make('owner');
    const child = await make('child', { kind: configMaps, owners: [ownedBy(owner)] });
    await make('grandchild', { owners: [ownedBy(child)] });
    await make('bystander');
    const answer = await remove('owner', { propagationPolicy: 'Background' });
    assert.deepEqual([answer.status, answer.body['status']], [200, 'Success']);
    await isGone('child', configMaps);
    await isGone('grandchild');
    assert.ok(await find('bystander'));
  });

  test('one owner that is left keeps a dependent, without the reference to the other', async () => {
    const [first, second] = [await make('first'), await make('second')];
    await make('child', { owners: [ownedBy(first), ownedBy(second)] });
    await remove('first');
    await eventually(async () => ((await ownersOf('child')).join() === 'second' ? true : undefined));
    await remove('second');
    await isGone('child');
  });

  test('in the foreground the owner waits for dependents that block it', async () => {
    const owner = await make('owner');
    await make('child', { owners: [ownedBy(owner, true)], finalizers: ['example.dev/hold'] });
    const answer = await remove('owner', { propagationPolicy: 'Foreground' });
    const { metadata } = answer.body as unknown as KubeObject;
    assert.deepEqual(metadata.finalizers, ['foregroundDeletion']);
    assert.ok(metadata.deletionTimestamp);
    await eventually(async () => (await find('child'))?.metadata.deletionTimestamp);
    await settled();
    assert.ok(await find('owner'), 'the child is held, so the owner is there');
    await server.client.mergePatch(gadgets, { namespace, name: 'child' }, { metadata: { finalizers: null } });
    await isGone('child');
    await isGone('owner');
  });

  test('in the foreground dependents that do not block go without being waited for', async () => {
    const owner = await make('owner');
    await make('child', { owners: [ownedBy(owner, false)], finalizers: ['example.dev/hold'] });
    await remove('owner', { propagationPolicy: 'Foreground' });
    await isGone('owner');
    await eventually(async () => (await find('child'))?.metadata.deletionTimestamp);
    await server.client.mergePatch(gadgets, { namespace, name: 'child' }, { metadata: { finalizers: null } });
    await isGone('child');
  });

  test('a whole tree in the foreground, from the leaves', async () => {
    const owner = await make('owner');
    const child = await make('child', { owners: [ownedBy(owner, true)] });
    await make('grandchild', { owners: [ownedBy(child, true)], finalizers: ['example.dev/hold'] });
    await remove('owner', { propagationPolicy: 'Foreground' });
    await eventually(async () => (await find('grandchild'))?.metadata.deletionTimestamp);
    await settled();
    assert.deepEqual((await find('child'))?.metadata.finalizers, ['foregroundDeletion']);
    await server.client.mergePatch(
      gadgets,
      { namespace, name: 'grandchild' },
      { metadata: { finalizers: null } },
    );
    for (const name of ['grandchild', 'child', 'owner']) await isGone(name);
  });

  test('orphaned dependents stay, and no longer name the owner', async () => {
    const owner = await make('owner');
    await make('child', { owners: [ownedBy(owner, true)] });
    await make('other', { kind: configMaps, owners: [ownedBy(owner)] });
    const answer = await remove('owner', { propagationPolicy: 'Orphan' });
    assert.deepEqual((answer.body as unknown as KubeObject).metadata.finalizers, ['orphan']);
    await isGone('owner');
    await settled();
    assert.deepEqual(await ownersOf('child'), []);
    assert.deepEqual(await ownersOf('other', configMaps), []);
    assert.ok((await find('child')) && (await find('other', configMaps)));
  });

  test('orphanDependents says it in the older way, in the query too', async () => {
    const owner = await make('owner');
    await make('child', { owners: [ownedBy(owner)] });
    await server.request('DELETE', `${path('owner')}?orphanDependents=true`);
    await isGone('owner');
    await settled();
    assert.ok(await find('child'));
    const both = await remove('child', { propagationPolicy: 'Orphan', orphanDependents: true });
    assert.deepEqual([both.status, both.body['reason']], [422, 'Invalid']);
    assert.match(both.body.message, /^DeleteOptions\.meta\.k8s\.io "" is invalid: propagationPolicy/);
    const unknown = await remove('child', { propagationPolicy: 'Sometimes' });
    assert.match(unknown.body.message, /Unsupported value: "Sometimes"/);
    await remove('child', { orphanDependents: false });
    await isGone('child');
  });

  test('another policy takes the place of the first', async () => {
    const owner = await make('owner');
    await make('child', { owners: [ownedBy(owner, true)], finalizers: ['example.dev/hold'] });
    await remove('owner', { propagationPolicy: 'Foreground' });
    await remove('owner', { propagationPolicy: 'Background' });
    assert.equal(await find('owner'), undefined);
  });

  test('a circle that is deleted in the foreground does not wait for itself', async () => {
    const first = await make('first');
    const second = await make('second', { owners: [ownedBy(first, true)] });
    await server.client.mergePatch(
      gadgets,
      { namespace, name: 'first' },
      {
        metadata: { ownerReferences: [ownedBy(second, true)] },
      },
    );
    await settled();
    assert.ok((await find('first')) && (await find('second')), 'nobody has asked for a deletion');
    await remove('first', { propagationPolicy: 'Foreground' });
    await isGone('first');
    await isGone('second');
  });

  test('a dependent of an owner that never was, or of another life of it, goes', async () => {
    const old = await make('owner');
    await remove('owner');
    const owner = await make('owner');
    await make('late', { owners: [ownedBy(old)] });
    await make('child', { owners: [ownedBy(owner)] });
    await isGone('late');
    await settled();
    assert.ok(await find('child'));
  });

  test('an owner of a kind that is not served is not absent', async () => {
    const reference = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'x', uid: crypto.randomUUID() };
    const gone = await make('gone');
    await make('child', { owners: [reference, ownedBy(gone)] });
    await remove('gone');
    await eventually(async () => ((await ownersOf('child')).join() === 'x' ? true : undefined));
    await settled();
    assert.ok(await find('child'));
  });

  test('an owner without a namespace has dependents in all of them', async () => {
    const name = `owner-${namespace}`;
    const owner = await server.client.create(namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name },
    });
    await make('child', { owners: [ownedBy(owner)] });
    await server.client.delete(namespaces, { name });
    await isGone(name, namespaces);
    await isGone('child');
  });

  test('references do not reach into another namespace, and an event says so', async () => {
    const elsewhere = await server.client.create(gadgets, {
      apiVersion: 'example.dev/v1alpha1',
      kind: 'Gadget',
      metadata: { name: 'elsewhere', namespace: 'default' },
      spec: { size: 1 },
    });
    await make('child', { owners: [ownedBy(elsewhere)] });
    await isGone('child');
    const { items } = await server.client.list(events, { namespace });
    assert.deepEqual(
      items.map((event) => [event['type'], event['reason']]),
      [['Warning', 'OwnerRefInvalidNamespace']],
    );
    await server.client.delete(gadgets, { namespace: 'default', name: 'elsewhere' });
  });

  test('an object without a namespace keeps an owner that lives in one, and an event says so', async () => {
    const owner = await make('owner');
    const name = `kept-${namespace}`;
    await make(name, { kind: namespaces, owners: [ownedBy(owner)] });
    await remove('owner');
    await eventually(async () => {
      const { items } = await server.client.list(events, { namespace: 'default' });
      return items.find((event) => (event['involvedObject'] as { name: string }).name === name);
    });
    await settled();
    assert.deepEqual(await ownersOf(name, namespaces), ['owner']);
    await server.client.delete(namespaces, { name });
  });

  test('what was lost while no server ran is found by the next one', async () => {
    const own = await startTestServer();
    try {
      await own.client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'owner', namespace: 'default' },
      });
      const owner = await own.client.get(configMaps, { namespace: 'default', name: 'owner' });
      await own.client.create(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'child', namespace: 'default', ownerReferences: [ownedBy(owner)] },
      });
      await own.api.close();
      const key = { resource: 'configmaps', namespace: 'default', name: 'owner' };
      const stored = await own.store.objects.find(key);
      await own.store.objects.delete(key, stored?.revision ?? 0);
    } finally {
      const next = await own.restart();
      await eventually(async () =>
        (await next.client.find(configMaps, { namespace: 'default', name: 'child' })) ? undefined : true,
      );
      await next.close();
    }
  });

  test('a delete in a dry run asks for nothing', async () => {
    const owner = await make('owner');
    await make('child', { owners: [ownedBy(owner)] });
    const answer = await remove('owner', { propagationPolicy: 'Foreground', dryRun: ['All'] });
    assert.deepEqual((answer.body as unknown as KubeObject).metadata.finalizers, ['foregroundDeletion']);
    await settled();
    assert.deepEqual((await find('owner'))?.metadata.finalizers, undefined);
    assert.ok(await find('child'));
  });
});
