import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import type { Clock, KubeObject, ResourceRef, SiteInventory } from '@selvedge/api';
import { createLogger, systemClock } from '@selvedge/api/node';
import type { HttpClient } from '@selvedge/kube';
import { clusterKinds, ClusterUnderTest, requireCluster } from '@selvedge/testkit';
import { createKubeApi } from '../api/http-kube-api.ts';
import { createInventoryReader, type InventoryReader } from './inventory-reader.ts';

const quiet = createLogger({ level: 'silent' });
const fastClock: Clock = {
  now: () => new Date(systemClock.now().getTime() * 10),
  sleep: (milliseconds, signal) => systemClock.sleep(milliseconds / 10, signal),
};
const nodes: ResourceRef = { group: '', version: 'v1', plural: 'nodes', kind: 'Node', namespaced: false };
const status = (cpu: string, beat: string) => ({
  capacity: { cpu, memory: '4Gi', pods: '110' },
  allocatable: { cpu, memory: '4Gi', pods: '110' },
  conditions: [
    {
      type: 'Ready',
      status: 'True',
      reason: 'KubeletReady',
      lastHeartbeatTime: beat,
      lastTransitionTime: beat,
    },
  ],
});

for (const kind of clusterKinds) {
  describe(`an inventory reader of ${kind}`, requireCluster(kind), () => {
    let cluster: ClusterUnderTest;
    let client: HttpClient;
    const stops: (() => Promise<void>)[] = [];

    before(async () => {
      cluster = await ClusterUnderTest.start(kind);
      client = cluster.client();
      await addNode('one', '2');
    });
    after(async () => {
      for (const stop of stops) await stop();
      await cluster?.close();
    });

    async function addNode(name: string, cpu: string): Promise<void> {
      const node: KubeObject = {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels: { place: name } },
      };
      await client.create(nodes, node);
      await beat(name, cpu, '2026-01-01T00:00:00Z');
    }
    const beat = (name: string, cpu: string, at: string) =>
      client.mergePatch(nodes, { name }, { status: status(cpu, at) }, { subresource: 'status' });

    async function start(
      access = cluster.access,
    ): Promise<{ reader: InventoryReader; changes: SiteInventory[] }> {
      const api = createKubeApi({ access, clock: systemClock, logger: quiet });
      const reader = createInventoryReader({ api, clock: fastClock, logger: quiet });
      const changes: SiteInventory[] = [];
      reader.onChange(() => changes.push(reader.current() as SiteInventory));
      const stop = new AbortController();
      const done = reader.run(stop.signal);
      stops.push(async () => {
        stop.abort();
        await done;
        api.close();
      });
      return { reader, changes };
    }

    test('tells what changed, and nothing of heartbeats', async () => {
      const { reader, changes } = await start();
      assert.equal(reader.current(), undefined);
      const sums = () => changes.at(-1)?.cluster?.allocatable['cpu'];
      await eventually(() => sums() === '2');
      reader.setNodeGroups([{ name: 'edge', nodeSelector: { place: 'two' } }]);
      await eventually(() => changes.at(-1)?.nodeGroups[0]?.nodes === 0);
      const before = changes.length;
      for (const minute of ['01', '02', '03']) await beat('one', '2', `2026-01-01T00:${minute}:00Z`);
      await sleep(500);
      assert.equal(changes.length, before, 'a heartbeat is no change');
      await addNode('two', '1500m');
      await eventually(() => sums() === '3500m' && changes.at(-1)?.nodeGroups[0]?.readyNodes === 1);
      await client.delete(nodes, { name: 'two' });
      await eventually(() => sums() === '2' && changes.at(-1)?.nodes.length === 1);
    });

    test('says that nodes may not be read', async () => {
      const { changes } = await start(await cluster.accessFor({ name: 'nobody-special' }));
      await eventually(() => changes.length > 0);
      assert.deepEqual(changes[0]?.nodes, []);
      assert.deepEqual(changes[0]?.cluster?.unreadable, ['nodes', 'storageClasses']);
    });
  });
}

async function eventually(isTrue: () => boolean): Promise<void> {
  for (let tries = 0; !isTrue(); tries++) {
    assert.ok(tries < 600, 'waited 30 s in vain');
    await sleep(50);
  }
}
