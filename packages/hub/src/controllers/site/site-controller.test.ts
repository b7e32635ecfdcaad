import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Machine, machines, type Site, sites } from '@selvedge/api';
import { machineWith, rackSpec } from '../../gateway/testing/machine-reports.ts';
import { TestHub } from '../testing/test-hub.ts';

const adopted = (completedTime: string) => ({
  action: 'Adopt',
  state: 'Done',
  requestedBy: 'kim',
  requestedTime: completedTime,
  completedTime,
  message: 'done',
});

test('after an adoption no rack is told of machines as they were before, though the news of them comes late', async () => {
  await using hub = await TestHub.start();
  await hub.addSite('berlin', { spec: { rack: rackSpec } });
  await hub.client.create<Machine>(
    machines,
    machineWith('m1', { release: { erase: 'Quick' }, wipeConsent: 'm1' }),
  );
  const told = async () => {
    const { policy, variables } = await hub.fleet.siteState('berlin');
    const order = policy.rack?.machines.find(({ name }) => name === 'm1');
    return { order, isNewer: variables['a'] === 'b' };
  };
  await hub.eventually(async () => assert.equal((await told()).order?.wipeConsent, true));
  await hub.stopControllers();
  const letGo = hub.holdBack(machines);
  hub.startControllers();
  // As the gateway does it.
  await hub.client.mergePatch<Machine>(machines, { name: 'm1' }, { spec: { protected: true } });
  const recovery = adopted(hub.clock.now().toISOString());
  await hub.client.mergePatch<Site>(
    sites,
    { name: 'berlin' },
    { status: { recovery } },
    { subresource: 'status' },
  );
  await hub.client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { variables: { a: 'b' } } });
  for (let round = 0; round < 50; round++) {
    const { order, isNewer } = await told();
    assert.ok(!isNewer || order?.isProtected === true, 'it would be erased');
    await hub.pass(100);
  }
  letGo();
  await hub.eventually(async () => {
    const { order, isNewer } = await told();
    assert.deepEqual([isNewer, order?.isProtected], [true, true]);
  });
});

test('an adoption that was long past when the hub began holds nothing back', async () => {
  await using hub = await TestHub.start();
  await hub.addSite('berlin', { spec: { rack: rackSpec } });
  await hub.client.create<Machine>(machines, machineWith('m1'));
  await hub.stopControllers();
  const letGo = hub.holdBack(machines);
  hub.startControllers();
  await hub.client.mergePatch<Machine>(machines, { name: 'm1' }, { spec: { protected: true } });
  const recovery = adopted(new Date(hub.clock.now().getTime() - 3_600_000).toISOString());
  await hub.client.mergePatch<Site>(
    sites,
    { name: 'berlin' },
    { status: { recovery } },
    { subresource: 'status' },
  );
  await hub.client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { variables: { a: 'b' } } });
  await hub.eventually(async () => {
    assert.equal((await hub.fleet.siteState('berlin')).variables['a'], 'b');
  });
  letGo();
});

test('orders that are too large are told, and meanwhile the rack hears what makes it do less', async () => {
  await using hub = await TestHub.start();
  await hub.addSite('berlin', { spec: { rack: rackSpec } });
  await hub.client.create<Machine>(machines, machineWith('m1', { wipeConsent: 'm1' }));
  const told = async () => (await hub.fleet.siteState('berlin')).policy.rack?.machines ?? [];
  await hub.eventually(async () => assert.equal((await told())[0]?.wipeConsent, true));
  const provision = { image: 'debian', userData: { text: 'x'.repeat(65_536) } };
  const names = Array.from({ length: 129 }, (_, i) => `m${i + 2}`);
  await Promise.all(
    names.map((name) => hub.client.create<Machine>(machines, machineWith(name, { provision }))),
  );
  const rackReady = async () =>
    (await hub.client.get<Site>(sites, { name: 'berlin' })).status?.conditions?.find(
      ({ type }) => type === 'RackReady',
    )?.reason;
  await hub.eventually(async () => assert.equal(await rackReady(), 'OrdersTooLarge'));
  await hub.client.mergePatch<Machine>(
    machines,
    { name: 'm1' },
    { spec: { protected: true, wipeConsent: null } },
  );
  await hub.eventually(async () => {
    const m1 = (await told()).find(({ name }) => name === 'm1');
    assert.deepEqual([m1?.isProtected, m1?.wipeConsent], [true, false]);
  });
  assert.ok((await told()).length < 130);
  for (const name of ['m2', 'm3', 'm4']) await hub.client.delete(machines, { name });
  await hub.eventually(async () => assert.notEqual(await rackReady(), 'OrdersTooLarge'));
  await hub.eventually(async () => assert.equal((await told()).length, 127));
});
