import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type InventoryNode,
  type InventoryParts,
  inventoryParts,
  type InventoryReport,
  type SiteInventory,
  type StatusBody,
  type SyncResponse,
} from '@selvedge/api';
import { inventoryDelta } from '@selvedge/api/node';
import type { TestAgent } from './testing/test-agent.ts';
import { TestHub } from './testing/test-hub.ts';

const observedTime = '2026-01-01T00:00:00.000Z';
const capacity = { cpu: '4', memory: '8Gi' };
const node = (name: string, over: Partial<InventoryNode> = {}): InventoryNode => ({
  name,
  roles: ['worker'],
  isReady: true,
  kubeletVersion: 'v1.33.2',
  capacity,
  allocatable: capacity,
  ...over,
});

const small: SiteInventory = {
  cluster: {
    kind: 'kubernetes',
    version: 'v1.33.2',
    distribution: 'k3s',
    unreadable: ['storageClasses'],
    capacity,
    allocatable: capacity,
  },
  nodes: [node('a'), node('b', { accelerators: [{ resource: 'nvidia.com/gpu', count: 2, product: 'L4' }] })],
  storageClasses: [{ name: 'local-path', provisioner: 'rancher.io/local-path', isDefault: true }],
  nodeGroups: [{ name: 'edge', nodes: 2, readyNodes: 2, allocatable: capacity, accelerators: 2 }],
};

function reportOf(before: InventoryParts, after: InventoryParts): InventoryReport {
  return { ...inventoryDelta(before, after), observedTime };
}

async function tell(agent: TestAgent, inventory: InventoryReport): Promise<SyncResponse> {
  const { code, body } = await agent.sync({ inventory, maxWaitSeconds: 1 });
  assert.equal(code, 200);
  return body;
}

async function inventoryOf(hub: TestHub, name = 'berlin') {
  return (await hub.site(name)).status?.inventory;
}

describe('the inventory of a site', { concurrency: false }, () => {
  test('stands on the Site as soon as it is answered, and changes by differences', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '20s' });
    const agent = await hub.enrolledAgent('berlin');
    const first = inventoryParts(small);
    const whole = reportOf({}, first);
    assert.equal((await tell(agent, whole)).sendInventory, undefined);
    const { digest, observedTime: time, nodeCount, readyNodes, ...shown } = (await inventoryOf(hub)) ?? {};
    assert.deepEqual(shown, small);
    assert.deepEqual([digest, time, nodeCount, readyNodes], [whole.to, observedTime, 2, 2]);

    const { distribution: _gone, ...cluster } = small.cluster ?? {};
    const second = inventoryParts({
      ...small,
      cluster: { ...(cluster as NonNullable<SiteInventory['cluster']>), capacity: { cpu: '4' } },
      nodes: [node('a', { isReady: false, conditions: [{ type: 'Ready', status: 'Unknown' }] })],
      nodeGroups: [],
    });
    const change = reportOf(first, second);
    assert.deepEqual(Object.keys(change.parts).sort(), ['cluster', 'node/a', 'node/b', 'nodeGroups']);
    assert.equal((await tell(agent, change)).sendInventory, undefined);
    const changed = await inventoryOf(hub);
    assert.deepEqual(changed?.cluster?.capacity, { cpu: '4' }, 'what is gone is gone');
    assert.equal(changed?.cluster?.distribution, undefined);
    assert.deepEqual(
      changed?.nodes.map(({ name }) => name),
      ['a'],
    );
    assert.deepEqual([changed?.nodeCount, changed?.readyNodes, changed?.nodeGroups], [1, 0, undefined]);
  });

  test('is asked for when a difference does not fit, and is not written twice', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const [first, second] = [inventoryParts(small), inventoryParts({ ...small, nodes: [] })];
    assert.equal((await tell(agent, reportOf(first, second))).sendInventory, true);
    assert.equal(await inventoryOf(hub), undefined);
    await tell(agent, reportOf({}, second));
    const { resourceVersion } = (await hub.site('berlin')).metadata;
    // The answer was lost, and the site asks whether the hub has it.
    assert.equal((await tell(agent, reportOf(first, second))).sendInventory, undefined);
    assert.equal((await tell(agent, reportOf(second, second))).sendInventory, undefined);
    assert.equal((await hub.site('berlin')).metadata.resourceVersion, resourceVersion);
    assert.equal((await tell(agent, reportOf(first, first))).sendInventory, true);
  });

  test('survives a restart of the hub: differences go on from what is on the Site', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const first = inventoryParts(small);
    await tell(agent, reportOf({}, first));
    await hub.stop();
    await hub.start();
    agent.url = hub.hub.url;
    const second = inventoryParts({ ...small, nodes: [...small.nodes, node('c')] });
    assert.equal((await tell(agent, reportOf(first, second))).sendInventory, undefined);
    assert.equal((await inventoryOf(hub))?.nodeCount, 3);
  });

  test('of many nodes 200 are shown and all are counted; a hub that forgot the others asks for all', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const nodes = Array.from({ length: 450 }, (_, n) => node(`n-${String(n).padStart(4, '0')}`));
    const first = inventoryParts({ ...small, nodes });
    await tell(agent, reportOf({}, first));
    const shown = await inventoryOf(hub);
    assert.deepEqual([shown?.nodeCount, shown?.readyNodes, shown?.nodes.length], [450, 450, 200]);
    const second = inventoryParts({ ...small, nodes: [...nodes.slice(1), node('z', { isReady: false })] });
    assert.equal((await tell(agent, reportOf(first, second))).sendInventory, undefined);
    const changed = await inventoryOf(hub);
    assert.deepEqual([changed?.nodeCount, changed?.readyNodes], [450, 449]);
    assert.equal(changed?.nodes[0]?.name, 'n-0001');

    await hub.stop();
    await hub.start();
    agent.url = hub.hub.url;
    assert.equal(
      (await tell(agent, reportOf(second, second))).sendInventory,
      undefined,
      'the digest is known',
    );
    assert.equal((await tell(agent, reportOf(second, first))).sendInventory, true);
    assert.equal((await tell(agent, reportOf({}, first))).sendInventory, undefined);
    assert.equal((await inventoryOf(hub))?.nodes[0]?.name, 'n-0000');
  });

  test('a site that changes without a pause is put off, and heard again later', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    const parts = (n: number) => inventoryParts({ ...small, nodes: [node(`n${n}`)] });
    for (let n = 0; n < 5; n++)
      assert.equal((await tell(agent, reportOf({}, parts(n)))).sendInventory, undefined);
    assert.equal((await tell(agent, reportOf({}, parts(5)))).sendInventory, true);
    assert.equal((await inventoryOf(hub))?.nodes[0]?.name, 'n4');
    hub.clock.offsetMilliseconds += 31_000;
    assert.equal((await tell(agent, reportOf({}, parts(5)))).sendInventory, undefined);
    assert.equal((await inventoryOf(hub))?.nodes[0]?.name, 'n5');
  });

  const strange: readonly (readonly [what: string, parts: Record<string, unknown>])[] = [
    ['an unknown part', { secrets: {} }],
    ['a node of another name', { 'node/a': node('b') }],
    ['a node without capacity', { 'node/a': { name: 'a', roles: [], isReady: true } }],
    ['a name that is none', { 'node/../x': node('../x') }],
    ['a text that steers a terminal', { 'node/a': node('a', { os: '\u001b[2J' }) }],
    ['an amount that is none', { 'node/a': node('a', { capacity: { cpu: 'much' } }) }],
    ['a very long text', { 'node/a': node('a', { os: 'x'.repeat(201) }) }],
    ['parts that are a list', ['a'] as unknown as Record<string, unknown>],
  ];
  test('one that cannot be is left out, and the rest of the request is taken', async (t) => {
    const hub = await TestHub.start(t);
    const agent = await hub.enrolledAgent('berlin');
    for (const [what, parts] of strange) {
      const inventory = { ...inventoryDelta({}, parts), parts, observedTime };
      const answer = await tell(agent, inventory);
      assert.equal(answer.sendInventory, undefined, what);
      assert.equal(await inventoryOf(hub), undefined, what);
    }
    const { code, body } = await agent.sync({
      inventory: { from: 7 } as unknown as InventoryReport,
      maxWaitSeconds: 1,
    });
    assert.equal(code, 200, (body as unknown as StatusBody).message);
    const whole = reportOf({}, inventoryParts(small));
    const changed = { ...whole, to: whole.to.replace(/.$/, (c) => (c === '0' ? '1' : '0')) };
    assert.equal((await tell(agent, changed)).sendInventory, true, 'a digest that does not fit');
  });
});
