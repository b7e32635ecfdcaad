import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { type ConfigMap, configMaps, type Event, events, namespaces, type Site, sites } from '@selvedge/api';
import { TestHub } from '../testing/test-hub.ts';

const ten = Array.from({ length: 10 }, (_, n) => `shop-${n}`);

async function startWithTen(): Promise<TestHub> {
  const hub = await TestHub.start();
  await hub.addSites(...ten);
  return hub;
}

async function deleteSites(hub: TestHub, names: readonly string[]): Promise<void> {
  for (const name of names) await hub.client.delete(sites, { name });
}

async function names(hub: TestHub): Promise<string[]> {
  const { items } = await hub.client.list<Site>(sites);
  return items.map(({ metadata }) => metadata.name).sort();
}

async function allHeld(hub: TestHub, held: readonly string[]): Promise<Site[]> {
  return hub.eventually(async () => {
    const { items } = await hub.client.list<Site>(sites);
    const found = items.filter(({ status }) => status?.heldRemoval !== undefined);
    assert.deepEqual(found.map(({ metadata }) => metadata.name).sort(), [...held].sort());
    for (const { status } of found) {
      const condition = status?.conditions?.find((c) => c.type === 'RemovalHeld');
      assert.equal(condition?.status, 'True');
    }
    return found;
  });
}

const memory = { namespace: 'kube-system', name: 'selvedge-removed-sites' };

async function remember(
  hub: TestHub,
  data: Record<string, string>,
  more: Partial<ConfigMap> = {},
): Promise<void> {
  await hub.client.create(namespaces, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: memory.namespace },
  });
  await hub.client.create<ConfigMap>(configMaps, {
    ...more,
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: memory,
    data,
  });
}

const approve = (hub: TestHub, site: Site) =>
  hub.client.mergePatch(
    sites,
    { name: site.metadata.name },
    { spec: { removal: { approved: { digest: site.status?.heldRemoval?.digest } } } },
  );

describe('deleting Sites', () => {
  test('lets a few go, with all that the hub knew of them', async () => {
    await using hub = await startWithTen();
    await deleteSites(hub, ['shop-0', 'shop-1']);
    await hub.eventually(async () => assert.equal((await names(hub)).length, 8));
    await hub.eventually(async () => assert.equal((await hub.fleet.heartbeats()).has('shop-0'), false));
    await hub.eventually(async () => {
      const { items } = await hub.client.list<Event>(events);
      assert.equal(items.filter(({ reason }) => reason === 'SiteRemoved').length, 2);
    });
  });

  test('holds all of half the fleet, and lets go each that a person approves', async () => {
    await using hub = await startWithTen();
    await deleteSites(hub, ten.slice(0, 5));
    const held = await allHeld(hub, ten.slice(0, 5));
    await hub.pass(10_000);
    assert.equal((await names(hub)).length, 10);
    const [first] = held;
    assert.ok(first);
    assert.equal(first.status?.heldRemoval?.sites, 5);
    assert.match(first.status?.heldRemoval?.message ?? '', /5 of 10 sites were deleted/);

    // They were held as one set; each is approved by itself.
    assert.equal(new Set(held.map(({ status }) => status?.heldRemoval?.digest)).size, 1);
    const wrong = { spec: { removal: { approved: { digest: `sha256:${'0'.repeat(64)}` } } } };
    await hub.client.mergePatch(sites, { name: first.metadata.name }, wrong);
    await hub.pass(10_000);
    assert.equal((await names(hub)).length, 10);

    await approve(hub, first);
    await hub.eventually(async () => assert.equal((await names(hub)).length, 9));
    await hub.pass(10_000);
    assert.equal((await names(hub)).length, 9);
    for (const site of held.slice(1)) await approve(hub, site);
    await hub.eventually(async () => assert.deepEqual(await names(hub), ten.slice(5)));
  });

  test('knows after a restart what left before it', async () => {
    await using hub = await startWithTen();
    await deleteSites(hub, ['shop-0', 'shop-1', 'shop-2']);
    await hub.eventually(async () => assert.equal((await names(hub)).length, 7));
    await hub.stopControllers();
    hub.startControllers();
    await deleteSites(hub, ['shop-3']);
    await allHeld(hub, ['shop-3']);
    // An hour after the others it is one of few again.
    await hub.eventually(async () => assert.equal((await names(hub)).length, 6), { step: 60_000 });
  });

  test('takes what others wrote into its memory for no consent', async () => {
    await using hub = await startWithTen();
    const { items } = await hub.client.list<Site>(sites);
    const time = hub.clock.now().toISOString();
    await remember(hub, {
      removed: JSON.stringify(items.map(({ metadata }) => ({ uid: metadata.uid, time }))),
    });
    await deleteSites(hub, ten.slice(0, 5));
    await allHeld(hub, ten.slice(0, 5));
    await hub.pass(10_000);
    assert.equal((await names(hub)).length, 10);
  });

  test('neither ends nor stands still for what cannot be its memory', async () => {
    await using hub = await startWithTen();
    const strange = [
      null,
      7,
      [],
      { uid: 'not one', time: hub.clock.now().toISOString() },
      ...Array.from({ length: 9 }, () => ({ uid: randomUUID(), time: '2999-01-01T00:00:00.000Z' })),
    ];
    await remember(hub, { removed: JSON.stringify(strange) }, { immutable: true });
    await deleteSites(hub, ['shop-0', 'shop-1']);
    await hub.eventually(async () => assert.equal((await names(hub)).length, 8));
    const { data, immutable } = await hub.client.get<ConfigMap>(configMaps, memory);
    assert.equal(immutable, undefined);
    const kept = JSON.parse(data?.['removed'] ?? '') as unknown[];
    assert.equal(kept.length, 2);
  });

  test('keeps its memory where editors of the default namespace do not write', async () => {
    await using hub = await startWithTen();
    await deleteSites(hub, ['shop-0', 'shop-1', 'shop-2']);
    await hub.eventually(async () => assert.equal((await names(hub)).length, 7));
    const { items } = await hub.client.list<ConfigMap>(configMaps);
    const found = items.filter(({ metadata }) => metadata.name === memory.name);
    assert.deepEqual(
      found.map(({ metadata }) => metadata.namespace),
      ['kube-system'],
    );
  });

  test('comes to the same end when writes fail on the way', async () => {
    await using hub = await startWithTen();
    await hub.stopControllers();
    await deleteSites(hub, ['shop-0', 'shop-1', 'shop-2']);
    hub.startControllers(failingNowAndThen());
    await hub.eventually(async () => assert.equal((await names(hub)).length, 7), { step: 2_000 });
    assert.deepEqual(await names(hub), ten.slice(3));
  });
});

/** Every third write or so fails, before or after it was done; the same ones each time. */
function failingNowAndThen(): () => boolean {
  let state = 1;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state % 3 === 0;
  };
}
