import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  conflict,
  type Machine,
  type MachineClaim,
  type MachineClaimSpec,
  machineClaims,
  type MachineImage,
  machineImages,
  machines,
  type MachineTag,
  machineTags,
  type MachineScript,
  machineScripts,
  resourceName,
} from '@selvedge/api';
import { inventoryWith, machineWith, rackSpec } from '../../gateway/testing/machine-reports.ts';
import { TestHub } from '../testing/test-hub.ts';

type Status = NonNullable<Machine['status']>;

async function startWithMachines(...names: string[]): Promise<TestHub> {
  const hub = await TestHub.start();
  await hub.addSite('berlin', { spec: { rack: rackSpec } });
  for (const [i, name] of names.entries()) await addMachine(hub, name, i);
  return hub;
}

async function addMachine(hub: TestHub, name: string, i: number): Promise<void> {
  const mac = `52:54:00:00:00:${(i + 16).toString(16)}`;
  await hub.client.create<Machine>(machines, machineWith(name, { identity: { macAddresses: [mac] } }));
  const memory = { total: (i + 1) * 2 ** 30 };
  await rackSays(hub, name, {
    phase: 'Available',
    operationalStatus: 'OK',
    disks: 'Blank',
    inventory: inventoryWith({ memory }),
    inventoryDigest: `sha256:${i}`,
  });
}

/** What the gateway writes when the rack has spoken: the rack acts on what stands there now. */
async function rackSays(hub: TestHub, name: string, says: Partial<Status>): Promise<void> {
  const { metadata } = await hub.client.get<Machine>(machines, { name });
  const status = { observedGeneration: metadata.generation ?? 1, ...says };
  await hub.client.mergePatch(machines, { name }, { status }, { subresource: 'status' });
}

const machine = (hub: TestHub, name: string) => hub.client.get<Machine>(machines, { name });
const findClaim = (hub: TestHub, name: string) => hub.client.find<MachineClaim>(machineClaims, { name });

async function putClaim(hub: TestHub, name: string, spec: MachineClaimSpec): Promise<void> {
  await hub.client.create<MachineClaim>(machineClaims, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'MachineClaim',
    metadata: { name },
    spec,
  });
}

/** Phase and machine of the claim, once it has this phase. */
async function claimBecomes(hub: TestHub, name: string, phase: string): Promise<MachineClaim> {
  return await hub.eventually(async () => {
    const claim = await findClaim(hub, name);
    assert.equal(claim?.status?.phase, phase, JSON.stringify(claim?.status));
    return claim;
  });
}

const conditionOf = (claim: MachineClaim | undefined, type: string) =>
  claim?.status?.conditions?.find((one) => one.type === type);

async function putImage(hub: TestHub): Promise<void> {
  await hub.client.create<MachineImage>(machineImages, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'MachineImage',
    metadata: { name: 'debian' },
    spec: {
      reference: `registry.example/os/debian@sha256:${'0'.repeat(64)}`,
      format: 'Raw',
      digest: `sha256:${'1'.repeat(64)}`,
      sizeBytes: 1000,
      diskBytes: 1000,
    },
  });
}

test('a claim gets the least machine that fits, and is ready once the image runs there', async () => {
  await using hub = await startWithMachines('small', 'middle', 'large');
  await putImage(hub);
  await putClaim(hub, 'web', { requirements: { memory: '2Gi' }, image: 'debian', hostname: 'web-1' });
  const bound = await claimBecomes(hub, 'web', 'Bound');
  assert.equal(bound.status?.machineName, 'middle');
  assert.equal(bound.spec.machineName, 'middle');
  const taken = await machine(hub, 'middle');
  const { uid } = bound.metadata;
  assert.deepEqual(taken.spec.consumer, { kind: 'MachineClaim', name: 'web', uid });
  assert.deepEqual(taken.spec.provision, { image: 'debian', hostname: 'web-1', instanceId: uid });
  const provisioned = {
    image: 'debian',
    digest: 'sha256:1',
    instanceId: uid ?? '',
    device: 'vda',
    writtenTime: '2026-01-01T00:00:00Z',
  };
  await rackSays(hub, 'middle', { phase: 'Provisioned', provisioned });
  const ready = await claimBecomes(hub, 'web', 'Ready');
  assert.match(conditionOf(ready, 'Ready')?.message ?? '', /middle runs debian/);
});

test('claims that come together get different machines, and one too many says why it has none', async () => {
  await using hub = await startWithMachines('a', 'b', 'c');
  const names = ['one', 'two', 'three', 'four'];
  await Promise.all(names.map((name) => putClaim(hub, name, {})));
  const claims = await hub.eventually(async () => {
    const found = await Promise.all(names.map((name) => findClaim(hub, name)));
    assert.equal(found.filter((claim) => claim?.status?.phase === 'Bound').length, 3);
    assert.equal(found.filter((claim) => claim?.status?.phase === 'Pending').length, 1);
    return found;
  });
  const given = claims.map((claim) => claim?.status?.machineName).filter((name) => name !== undefined);
  assert.deepEqual(given.toSorted(), ['a', 'b', 'c']);
  const left = claims.find((claim) => claim?.status?.phase === 'Pending');
  await hub.eventually(async () => {
    const claim = await findClaim(hub, left?.metadata.name ?? '');
    assert.match(conditionOf(claim, 'Bound')?.message ?? '', /all 3 for a reason: taken by others \(3\)/);
    assert.equal(claim?.status?.candidates, 3);
  });
  const [first = ''] = given;
  const owner = claims.find((claim) => claim?.status?.machineName === first)?.metadata.name ?? '';
  await hub.client.delete(machineClaims, { name: owner });
  await hub.eventually(async () => assert.equal(await findClaim(hub, owner), undefined));
  await rackSays(hub, first, { phase: 'Available' });
  await claimBecomes(hub, left?.metadata.name ?? '', 'Bound');
});

test('a claim that is deleted lets its machine go, with its data', async () => {
  await using hub = await startWithMachines('a');
  await putImage(hub);
  await putClaim(hub, 'web', { image: 'debian' });
  await claimBecomes(hub, 'web', 'Bound');
  await hub.client.delete(machineClaims, { name: 'web' });
  await hub.eventually(async () => assert.equal(await findClaim(hub, 'web'), undefined));
  const { spec } = await machine(hub, 'a');
  assert.equal(spec.consumer, undefined);
  assert.equal(spec.provision, undefined);
  assert.equal(spec.wipeConsent, undefined);
  assert.deepEqual(spec.release, { erase: 'None' });
});

test('an erase waits for the consent, then for the rack; then the consent is taken back', async () => {
  await using hub = await startWithMachines('a');
  await putImage(hub);
  await putClaim(hub, 'web', { image: 'debian', release: { erase: 'Quick' } });
  const { metadata } = await claimBecomes(hub, 'web', 'Bound');
  await rackSays(hub, 'a', {
    phase: 'Provisioned',
    disks: 'Data',
    provisioned: {
      image: 'debian',
      digest: 'sha256:1',
      instanceId: metadata.uid ?? '',
      device: 'vda',
      writtenTime: '2026-01-01T00:00:00Z',
    },
  });
  await claimBecomes(hub, 'web', 'Ready');
  await hub.client.delete(machineClaims, { name: 'web' });
  await hub.eventually(async () =>
    assert.equal(conditionOf(await findClaim(hub, 'web'), 'Ready')?.reason, 'ConsentMissing'),
  );
  assert.equal((await machine(hub, 'a')).spec.provision?.image, 'debian', 'nothing is let go before');

  await hub.client.mergePatch(machineClaims, { name: 'web' }, { spec: { release: { wipeConsent: 'a' } } });
  await hub.eventually(async () => assert.equal((await machine(hub, 'a')).spec.wipeConsent, 'a'));
  assert.deepEqual((await machine(hub, 'a')).spec.release, { erase: 'Quick' });
  await hub.eventually(async () =>
    assert.equal(conditionOf(await findClaim(hub, 'web'), 'Ready')?.reason, 'Releasing'),
  );
  await rackSays(hub, 'a', { phase: 'Releasing' });
  await hub.pass(1000);
  assert.ok(await findClaim(hub, 'web'));
  const inventory = (await machine(hub, 'a')).status?.inventory;
  await hub.client.mergePatch(
    machines,
    { name: 'a' },
    { status: { provisioned: null } },
    { subresource: 'status' },
  );
  await rackSays(hub, 'a', { phase: 'Available', disks: 'Blank', ...(inventory ? { inventory } : {}) });
  await hub.eventually(async () => assert.equal(await findClaim(hub, 'web'), undefined));
  await hub.eventually(async () => assert.equal((await machine(hub, 'a')).spec.wipeConsent, undefined));
});

test('a machine goes to the next claim only after the erase that the last one promised', async () => {
  await using hub = await startWithMachines('a');
  await putClaim(hub, 'one', { machineName: 'a', release: { erase: 'Secure', wipeConsent: 'a' } });
  await claimBecomes(hub, 'one', 'Bound');
  await putClaim(hub, 'two', {});
  await claimBecomes(hub, 'two', 'Pending');
  // Its rack has not been heard of since: what stands in status is of before.
  await hub.client.delete(machineClaims, { name: 'one' });
  await hub.eventually(async () =>
    assert.equal(conditionOf(await findClaim(hub, 'one'), 'Ready')?.reason, 'Releasing'),
  );
  await hub.pass(10_000);
  assert.equal((await machine(hub, 'a')).spec.consumer, undefined);
  assert.ok(await findClaim(hub, 'one'));
  await rackSays(hub, 'a', { phase: 'Available', disks: 'Blank' });
  await hub.eventually(async () => assert.equal(await findClaim(hub, 'one'), undefined));
  await hub.eventually(async () => assert.equal((await machine(hub, 'a')).spec.wipeConsent, undefined));
  await rackSays(hub, 'a', { phase: 'Available' });
  await claimBecomes(hub, 'two', 'Bound');
});

test('an erase that is no longer wanted is called off with its consent', async () => {
  await using hub = await startWithMachines('a');
  await putClaim(hub, 'web', { machineName: 'a', release: { erase: 'Quick', wipeConsent: 'a' } });
  await claimBecomes(hub, 'web', 'Bound');
  await hub.client.delete(machineClaims, { name: 'web' });
  await hub.eventually(async () =>
    assert.equal(conditionOf(await findClaim(hub, 'web'), 'Ready')?.reason, 'Releasing'),
  );
  assert.equal((await machine(hub, 'a')).spec.wipeConsent, 'a');
  const release = { erase: 'None', wipeConsent: null };
  await hub.client.mergePatch(machineClaims, { name: 'web' }, { spec: { release } });
  await hub.eventually(async () => assert.equal(await findClaim(hub, 'web'), undefined));
  const { spec } = await machine(hub, 'a');
  assert.deepEqual([spec.wipeConsent, spec.release], [undefined, { erase: 'None' }]);
});

test('a claim never has two machines, though the hub fails at any write', async () => {
  await using hub = await startWithMachines('a', 'b', 'c');
  await hub.stopControllers();
  let seed = 7;
  let left = 40;
  hub.startControllers((write) => {
    if (left === 0 || !/machine/.test(write)) return false;
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    left -= 1;
    return seed % 3 === 0;
  });
  for (const name of ['one', 'two']) await putClaim(hub, name, {});
  for (const name of ['one', 'two']) await claimBecomes(hub, name, 'Bound');
  await hub.stopControllers();
  hub.startControllers();
  await hub.pass(5000);
  const all = (await hub.client.list<Machine>(machines)).items;
  const owners = all.flatMap(({ spec }) => (spec.consumer ? [spec.consumer.name] : []));
  assert.deepEqual(owners.toSorted(), ['one', 'two']);
  for (const name of ['one', 'two']) {
    const claim = await findClaim(hub, name);
    const { spec } = await machine(hub, claim?.status?.machineName ?? '');
    assert.equal(spec.consumer?.uid, claim?.metadata.uid);
  }
});

test('a claim has one machine, though somebody changes the claim while it gets it', async () => {
  await using hub = await startWithMachines('a', 'b');
  const { client } = hub;
  const mergePatch = client.mergePatch.bind(client);
  let left = 3;
  client.mergePatch = (ref, ...rest) => {
    if (ref.plural !== machineClaims.plural || left === 0) return mergePatch(ref, ...rest);
    left -= 1;
    throw conflict(ref, rest[0].name, 'it changed');
  };
  await putClaim(hub, 'web', {});
  const { status } = await claimBecomes(hub, 'web', 'Bound');
  assert.equal(left, 0);
  const all = (await client.list<Machine>(machines)).items;
  const owned = all.filter(({ spec }) => spec.consumer !== undefined).map(({ metadata }) => metadata.name);
  assert.deepEqual(owned, [status?.machineName]);
});

test('a machine is not given away twice by a write that seemed to fail, though the news of it comes late', async () => {
  await using hub = await startWithMachines('a', 'b');
  await hub.stopControllers();
  const letGo = hub.holdBack(machines);
  let asked = 0;
  hub.startControllers((write) => write === 'update machines' && ++asked === 2);
  await putClaim(hub, 'web', {});
  const { status } = await claimBecomes(hub, 'web', 'Bound');
  assert.ok(asked >= 2);
  letGo();
  await hub.pass(1000);
  const all = (await hub.client.list<Machine>(machines)).items;
  const owned = all.filter(({ spec }) => spec.consumer !== undefined).map(({ metadata }) => metadata.name);
  assert.deepEqual(owned, [status?.machineName]);
});

test('why there is no machine is said by how machines are, though the news of that comes late', async () => {
  await using hub = await startWithMachines('a');
  await hub.stopControllers();
  hub.holdBack(machines);
  hub.startControllers();
  await putClaim(hub, 'one', {});
  await claimBecomes(hub, 'one', 'Bound');
  await putClaim(hub, 'two', {});
  const claim = await claimBecomes(hub, 'two', 'Pending');
  assert.match(
    conditionOf(claim, 'Bound')?.message ?? '',
    /the only one for a reason: taken by others \(1\)/,
  );
});

test('a machine that somebody wrote to at the same moment is tried again, though nothing of it matters', async () => {
  await using hub = await startWithMachines('a');
  const { client } = hub;
  const update = client.update.bind(client);
  let isBusy = true;
  client.update = (ref, ...rest) => {
    if (ref.plural !== machines.plural || !isBusy) return update(ref, ...rest);
    throw conflict(ref, rest[0].metadata.name, 'it changed');
  };
  await putClaim(hub, 'web', {});
  await hub.pass(20_000);
  isBusy = false;
  await claimBecomes(hub, 'web', 'Bound');
});

test('a machine whose spec would be refused today keeps no claim from the others', async () => {
  await using hub = await startWithMachines('small', 'large');
  // As an earlier hub took it.
  const key = { resource: resourceName(machines), namespace: '', name: 'small' };
  // A controller that writes its conditions at this moment would change the revision.
  await hub.stopControllers();
  const stored = await hub.objects.find(key);
  const { spec, ...rest } = JSON.parse(stored?.body ?? '') as Machine;
  const body = JSON.stringify({ ...rest, spec: { ...spec, address: '10.0.0' } });
  await hub.objects.update(key, body, stored?.revision ?? 0);
  hub.startControllers();
  await putClaim(hub, 'one', {});
  assert.equal((await claimBecomes(hub, 'one', 'Bound')).status?.machineName, 'large');
  await putClaim(hub, 'two', {});
  const claim = await claimBecomes(hub, 'two', 'Pending');
  assert.match(
    conditionOf(claim, 'Bound')?.message ?? '',
    /all 2 for a reason: .*not valid any more as a Machine, in spec\.address \(1\)/,
  );
});

test('a claim whose machine is gone is lost, and gets no other in silence', async () => {
  await using hub = await startWithMachines('a', 'b');
  await putClaim(hub, 'web', { machineName: 'a' });
  await claimBecomes(hub, 'web', 'Bound');
  await hub.client.delete(machines, { name: 'a' });
  await claimBecomes(hub, 'web', 'Lost');
  assert.equal((await machine(hub, 'b')).spec.consumer, undefined);
  await hub.client.delete(machineClaims, { name: 'web' });
  await hub.eventually(async () => assert.equal(await findClaim(hub, 'web'), undefined));
});

test('tags follow the inventory, as labels and in the status', async () => {
  await using hub = await startWithMachines('a', 'b');
  const put = (name: string, expression: string) =>
    hub.client.create<MachineTag>(machineTags, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'MachineTag',
      metadata: { name },
      spec: { expression },
    });
  await put('roomy', 'inventory.resources.memory.total >= 2147483648');
  await put('odd', 'inventory.resources.gpu.cards[0].vendor == "x"');
  const label = 'machine-tag.selvedge.dev/roomy';
  await hub.eventually(async () => {
    const b = await machine(hub, 'b');
    assert.deepEqual(b.status?.tags, ['roomy']);
    assert.equal(b.metadata.labels?.[label], '');
    assert.deepEqual((await machine(hub, 'a')).status?.tags ?? [], []);
  });
  const tag = (name: string) => hub.client.get<MachineTag>(machineTags, { name });
  await hub.eventually(async () => {
    assert.equal((await tag('roomy')).status?.machines, 1);
    const ready = (await tag('odd')).status?.conditions?.[0];
    assert.equal(ready?.reason, 'NoAnswer');
    assert.match(ready?.message ?? '', /no answer for 2 of 2 machines.*has\(/);
  });
  await rackSays(hub, 'b', {
    inventory: inventoryWith({ memory: { total: 5 } }),
    inventoryDigest: 'sha256:other',
  });
  await hub.eventually(async () => {
    const b = await machine(hub, 'b');
    assert.deepEqual(b.status?.tags, []);
    assert.equal(b.metadata.labels?.[label], undefined);
    assert.equal((await tag('roomy')).status?.machines, 0);
  });
  await rackSays(hub, 'b', {
    inventory: inventoryWith({ memory: { total: 2 ** 40 } }),
    inventoryDigest: 'sha256:more',
  });
  await hub.eventually(async () => assert.deepEqual((await machine(hub, 'b')).status?.tags, ['roomy']));
  await hub.client.delete(machineTags, { name: 'roomy' });
  await hub.eventually(async () => {
    assert.equal((await machine(hub, 'b')).metadata.labels?.[label], undefined);
    assert.deepEqual((await machine(hub, 'b')).status?.tags, []);
  });
});

test('an image says how many machines are to have it, and where it failed; a script what its header says', async () => {
  await using hub = await startWithMachines('a');
  await putImage(hub);
  await putClaim(hub, 'web', { image: 'debian' });
  const image = () => hub.client.get<MachineImage>(machineImages, { name: 'debian' });
  await hub.eventually(async () => {
    const { status } = await image();
    assert.equal(status?.machines, 1);
    assert.equal(status?.conditions?.[0]?.reason, 'Usable');
  });
  const failed = {
    name: 'debian',
    digest: `sha256:${'1'.repeat(64)}`,
    state: 'Failed',
    message: 'its digest is another',
  };
  const rack = { observedTime: '2026-01-01T00:00:00Z', networks: [], images: [failed] };
  await hub.client.mergePatch(
    { group: 'selvedge.dev', version: 'v1alpha1', plural: 'sites', kind: 'Site', namespaced: false },
    { name: 'berlin' },
    { status: { rack } },
    { subresource: 'status' },
  );
  await hub.eventually(async () => {
    const ready = (await image()).status?.conditions?.[0];
    assert.equal(ready?.reason, 'FailedAtSites');
    assert.match(ready?.message ?? '', /berlin: its digest is another/);
  });
  await hub.client.create<MachineScript>(machineScripts, {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'MachineScript',
    metadata: { name: 'raid' },
    spec: {
      script:
        '#!/bin/sh\n# --- Start MAAS 1.0 script metadata ---\n# title: RAID\n# timeout: 60\n# --- End MAAS 1.0 script metadata ---\nexit 0\n',
    },
  });
  await hub.eventually(async () => {
    const { status } = await hub.client.get<MachineScript>(machineScripts, { name: 'raid' });
    assert.deepEqual([status?.title, status?.type, status?.timeoutSeconds], ['RAID', 'Commissioning', 60]);
    assert.match(status?.digest ?? '', /^sha256:[0-9a-f]{64}$/);
    assert.equal(status?.conditions?.[0]?.status, 'True');
  });
});
