import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { type Machine, machines, type Site, sites } from '@selvedge/api';
import { createHttpClient, loadKubeconfig, resourcePath } from '@selvedge/kube';
import { machineWith, rackSpec } from './testing/machine-reports.ts';
import type { TestAgent } from './testing/test-agent.ts';
import { eventually, TestHub } from './testing/test-hub.ts';

async function catchUp(agent: TestAgent): Promise<boolean> {
  const { body } = await agent.sync({ maxWaitSeconds: 0 });
  if (body.state !== undefined) await agent.accept(body.state);
  return body.sendState === true;
}

async function tellWhenAsked(agent: TestAgent): Promise<void> {
  await eventually(() => catchUp(agent));
  const { code, body } = await agent.sync({ held: agent.held(), maxWaitSeconds: 1 });
  assert.equal(code, 200, body.message);
  if (body.state !== undefined) await agent.accept(body.state);
}

async function act(hub: TestHub, action: string, query: Record<string, string> = {}): Promise<Site> {
  const client = createHttpClient({ kubeconfig: await loadKubeconfig(hub.hub.kubeconfigPath) });
  try {
    const path = resourcePath(sites, { name: 'berlin', subresource: action });
    return await client.request<Site>({ method: 'POST', path, query, body: {} });
  } finally {
    await client.close();
  }
}

const orderOf = (agent: TestAgent) => agent.policy.rack?.machines.find(({ name }) => name === 'm1');

/** The hub was put back to when m1 was spare and to be erased, and the site had no rack; by now something runs on m1. */
async function restoredHub(
  t: TestContext,
  more: readonly Machine[] = [],
): Promise<{ hub: TestHub; agent: TestAgent }> {
  const hub = await TestHub.start(t, { syncWait: '1s' });
  const agent = await hub.enrolledAgent('berlin');
  const spare = machineWith('m1', { release: { erase: 'Quick' }, wipeConsent: 'm1' });
  await hub.hub.client.create<Machine>(machines, spare);
  const folder = mkdtempSync(join(tmpdir(), 'selvedge-saved-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await hub.stop();
  cpSync(hub.data, folder, { recursive: true });
  await hub.start();
  agent.url = hub.hub.url;
  const { client } = hub.hub;
  const rack = { ...rackSpec, discovery: 'Inspect' };
  await client.mergePatch<Site>(sites, { name: 'berlin' }, { spec: { rack, variables: { a: 'b' } } });
  const consumer = { kind: 'Team', name: 'x' };
  const used = { wipeConsent: null, release: { erase: 'None' }, consumer, provision: { image: 'debian' } };
  await client.mergePatch<Machine>(machines, { name: 'm1' }, { spec: used });
  for (const machine of more) await client.create<Machine>(machines, machine);
  await eventually(async () => {
    await catchUp(agent);
    const isOrdered = orderOf(agent)?.provision !== undefined && agent.variables['a'] === 'b';
    return isOrdered && agent.policy.rack?.machines.length === 1 + more.length;
  });
  if (more.length > 0) {
    const unasked = await agent.sync({ held: agent.held(), maxWaitSeconds: 0 });
    assert.equal(unasked.code, 413, 'nobody asked for so much');
  }
  await hub.stop();
  rmSync(hub.data, { recursive: true });
  cpSync(folder, hub.data, { recursive: true });
  await hub.start();
  agent.url = hub.hub.url;
  await tellWhenAsked(agent);
  return { hub, agent };
}

const difference =
  /^machine m1: the rack was told image debian as \S+, allocated \(generation 2\).* no image, erase Quick, consent to wipe \(generation 1\)/;

test('adopt says which machines the hub would treat otherwise, and protects them until a person has looked', async (t) => {
  const { hub, agent } = await restoredHub(t);
  const preview = await act(hub, 'adopt', { dryRun: 'All' });
  assert.match(preview.status?.recovery?.changes?.[0] ?? '', difference);
  await act(hub, 'adopt');
  await tellWhenAsked(agent);
  const { status, spec } = await hub.site('berlin');
  assert.equal(status?.recovery?.state, 'Done');
  assert.match(status.recovery.changes?.[0] ?? '', difference);
  assert.deepEqual([spec?.rack?.discovery, spec?.rack?.networks[0]?.name], ['Inspect', 'lab']);
  const machine = await hub.hub.client.get<Machine>(machines, { name: 'm1' });
  assert.equal(machine.spec.protected, true);
  await eventually(async () => {
    await catchUp(agent);
    return orderOf(agent)?.provision === undefined;
  });
  assert.equal(orderOf(agent)?.isProtected, true, 'what would release and erase it is not to be done');
});

test('override says what the racks are told of machines', async (t) => {
  const { hub } = await restoredHub(t);
  const preview = await act(hub, 'override', { dryRun: 'All' });
  assert.match(preview.status?.recovery?.changes?.[0] ?? '', difference);
});

test('a site whose machines have long user data can show what it follows', async (t) => {
  const text = `#cloud-config\n${'x'.repeat(60_000)}`;
  const more = Array.from({ length: 18 }, (_, i) =>
    machineWith(`long-${i}`, {
      identity: { macAddresses: [`52:54:00:02:00:${(i + 16).toString(16)}`] },
      provision: { image: 'debian', userData: { text } },
    }),
  );
  const { hub } = await restoredHub(t, more);
  const { hubBehind } = (await hub.site('berlin')).status ?? {};
  assert.deepEqual(
    hubBehind?.machines?.map(({ name }) => name),
    ['m1'],
  );
});
