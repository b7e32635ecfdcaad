import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type InventoryNode, inventoryParts, type SiteInventory } from '@selvedge/api';
import { MemoryDriver } from './testing/memory-driver.ts';
import { eventually, makeStateDir, startTestAgent } from './testing/test-agent.ts';
import { TestHub } from './testing/test-hub.ts';

const node = (name: string): InventoryNode => ({
  name,
  roles: [],
  isReady: true,
  capacity: {},
  allocatable: {},
});
const inventoryWith = (...names: string[]): SiteInventory => ({
  nodes: names.map(node),
  storageClasses: [],
  nodeGroups: [],
});

describe('the inventory of a site', () => {
  test('the groups of its nodes reach the driver also while there is no application', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    hub.policy = { ...hub.policy, nodeGroups: [{ name: 'edge' }] };
    const driver = new MemoryDriver();
    await using _agent = startTestAgent({ stateDir: dir.path, token: hub.token(), driver });
    await eventually('the agent is enrolled', () => hub.requests.length > 0);
    hub.epoch += 1;
    hub.publish();
    await eventually('the driver knows them', () => driver.nodeGroups[0]?.name === 'edge');
    assert.deepEqual(driver.desired, []);
  });

  test('reaches the hub, by differences, also after a hub that forgot it and a restart of the agent', async () => {
    await using dir = await makeStateDir();
    await using hub = await TestHub.start();
    let skippedMs = 0;
    const start = (driver: MemoryDriver) =>
      startTestAgent({
        stateDir: dir.path,
        token: hub.token(),
        driver,
        monotonicMs: () => performance.now() + skippedMs,
      });
    const driver = new MemoryDriver();
    const has = (...names: string[]) => {
      const wanted = JSON.stringify(Object.keys(inventoryParts(inventoryWith(...names))));
      return () => JSON.stringify(Object.keys(hub.inventory).sort()) === wanted;
    };
    const told = () => hub.requests.flatMap(({ inventory }) => inventory ?? []);
    {
      await using _agent = start(driver);
      await eventually('the agent is enrolled', () => hub.requests.length > 0);
      driver.setInventory(inventoryWith('a'));
      await eventually('the hub has it', has('a'));
      skippedMs += 30_000;
      driver.setInventory(inventoryWith('a', 'b'));
      await eventually('the hub has the change', has('a', 'b'));
      assert.deepEqual(Object.keys(told().at(-1)?.parts ?? {}), ['node/b']);

      hub.inventory = {};
      skippedMs += 30_000;
      driver.setInventory(inventoryWith('a', 'b', 'c'));
      await eventually('the hub asks for all and gets it', has('a', 'b', 'c'));
      assert.equal(told().at(-1)?.from, '');
      const answered = hub.requests.length;
      await eventually('the agent knows that the hub has it', () => hub.requests.length > answered);
    }
    const before = told().length;
    const next = new MemoryDriver();
    next.setInventory(inventoryWith('a', 'b', 'c'));
    await using _agent = start(next);
    await eventually('the next agent asks', () => told().length > before);
    assert.deepEqual(told().at(-1)?.parts, {});
    hub.instance = 'another';
    skippedMs += 30_000;
    hub.assign('till', [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }]);
    await eventually('another hub is asked', () => told().length > before + 1);
    assert.deepEqual(told().at(-1)?.parts, {});
  });
});
