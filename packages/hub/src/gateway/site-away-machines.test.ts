import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Machine, machines, type Site, sites } from '@selvedge/api';
import { machinesDigest } from '@selvedge/api/node';
import { machineWith, rackSpec, reportOf } from './testing/machine-reports.ts';
import { eventually, TestHub } from './testing/test-hub.ts';

test('a site that falls silent has its Machines say so, and none of them is written', async (t) => {
  const hub = await TestHub.start(t, { syncWait: '1s' });
  const { client } = hub.hub;
  const agent = await hub.enrolledAgent('berlin');
  await client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { rack: rackSpec } });
  const made = await client.create<Machine>(machines, machineWith('m1'));
  const read = () => client.get<Machine>(machines, { name: 'm1' });
  const find = async (type: string) => (await read()).status?.conditions?.find((c) => c.type === type);
  const observedTime = hub.clock.now().toISOString();
  const report = reportOf(made.metadata.uid ?? '', 1, { phase: 'Available', generation: 1 });
  const rack = { observedTime, networks: [], images: [] };
  // A report of a Machine that the hub has not heard of yet is dropped.
  await eventually(async () => {
    await agent.sync({ rack, machines: [report], maxWaitSeconds: 0 });
    return (await find('Synced'))?.reason === 'InStep';
  });
  const { resourceVersion } = (await read()).metadata;
  hub.clock.offsetMilliseconds = 3_600_000;
  await eventually(async () => (await find('SiteConnected'))?.reason === 'SiteAway');
  assert.equal((await hub.site('berlin')).status?.connectivity, 'Away');
  assert.equal((await find('Synced'))?.reason, 'InStep');
  hub.clock.offsetMilliseconds = 0;
  const digest = machinesDigest([{ key: made.metadata.uid ?? '', seq: 1 }]);
  await agent.sync({ machinesDigest: digest, maxWaitSeconds: 0 });
  await eventually(async () => (await find('SiteConnected')) === undefined);
  assert.equal((await read()).metadata.resourceVersion, resourceVersion);
});
