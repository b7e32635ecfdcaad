import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { type Event, events, type Site, sites, type SyncRequest } from '@selvedge/api';
import { stateDigest } from '@selvedge/api/node';
import { createHttpClient, loadKubeconfig, resourcePath } from '@selvedge/kube';
import type { TestAgent } from './testing/test-agent.ts';
import { eventually, TestHub } from './testing/test-hub.ts';

/** A copy of the hub's folder, as a backup would be; put back with `putBack`. */
async function saveHub(t: TestContext, hub: TestHub): Promise<{ putBack(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'selvedge-saved-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await hub.stop();
  cpSync(hub.data, folder, { recursive: true });
  await hub.start();
  return {
    putBack: async () => {
      await hub.stop();
      rmSync(hub.data, { recursive: true });
      cpSync(folder, hub.data, { recursive: true });
      await hub.start();
    },
  };
}

async function catchUp(agent: TestAgent): Promise<void> {
  const { body } = await agent.sync({ maxWaitSeconds: 1 });
  if (body.state !== undefined) await agent.accept(body.state);
}

/** A site that follows epoch 3, at a hub that was put back to epoch 1 or so: `till` went on, `sign` is unknown to the hub. */
async function restoredHub(t: TestContext): Promise<{ hub: TestHub; agent: TestAgent }> {
  const hub = await TestHub.start(t, { syncWait: '1s' });
  const agent = await hub.enrolledAgent('berlin');
  await hub.assign('berlin', 'till', 'one');
  await catchUp(agent);
  const saved = await saveHub(t, hub);
  agent.url = hub.hub.url;
  await hub.assign('berlin', 'till', 'two');
  await hub.assign('berlin', 'sign', 'seven');
  await hub.hub.client.mergePatch(
    sites,
    { name: 'berlin' },
    { spec: { variables: { color: 'red' }, timeZone: 'Europe/Berlin', hold: { reason: 'stock-taking' } } },
  );
  await eventually(async () => {
    await catchUp(agent);
    return agent.variables['color'] === 'red' && agent.items.length === 2;
  });
  await saved.putBack();
  agent.url = hub.hub.url;
  return { hub, agent };
}

const condition = async (hub: TestHub, type = 'HubBehind') =>
  (await hub.site('berlin')).status?.conditions?.find((c) => c.type === type);

async function act(hub: TestHub, action: string, query: Record<string, string> = {}): Promise<Site> {
  const client = createHttpClient({ kubeconfig: await loadKubeconfig(hub.hub.kubeconfigPath) });
  try {
    const path = resourcePath(sites, { name: 'berlin', subresource: action });
    return await client.request<Site>({ method: 'POST', path, query, body: {} });
  } finally {
    await client.close();
  }
}

/** What the agent answers when it is asked for what it follows; fails when it is not asked. */
async function tellWhenAsked(agent: TestAgent): Promise<void> {
  await eventually(async () => (await agent.sync({ maxWaitSeconds: 1 })).body.sendState === true);
  const { code, body } = await agent.sync({ held: agent.held(), maxWaitSeconds: 1 });
  assert.equal(code, 200, body.message);
  if (body.state !== undefined) await agent.accept(body.state);
}

describe('a hub that lost its memory', { concurrency: false }, () => {
  test('asks a site that is ahead for what it follows, once, and shows it on the Site', async (t) => {
    const { hub, agent } = await restoredHub(t);
    await tellWhenAsked(agent);
    const { status } = await hub.site('berlin');
    assert.equal(status?.hubBehind?.agentEpoch, agent.epoch);
    assert.deepEqual(
      status?.hubBehind?.applications.map(({ name }) => name),
      ['shop/sign', 'shop/till'],
    );
    assert.match((await condition(hub))?.message ?? '', /selvedge site adopt berlin/);
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).body.sendState, undefined);
    const { items } = await hub.hub.client.list<Event>(events);
    assert.ok(items.some((e) => e.reason === 'HubBehind' && e.involvedObject.name === 'berlin'));
  });

  test('sends nothing, even when its epochs grow past those of the site, until a person decides', async (t) => {
    const { hub, agent } = await restoredHub(t);
    await agent.sync({ maxWaitSeconds: 1 });
    const before = agent.epoch;
    for (const content of ['a', 'b', 'c', 'd', 'e', 'f']) await hub.assign('berlin', 'till', content);
    const { rows } = await hub.hub.fleet.listDeliveries({ site: 'berlin' });
    assert.ok((rows[0]?.epoch ?? 0) > before);
    for (const over of [{}, { full: true }]) {
      assert.equal((await agent.sync({ ...over, maxWaitSeconds: 1 })).body.state, undefined);
    }
    assert.equal((await condition(hub))?.status, 'True');
    await hub.stop();
    await hub.start();
    agent.url = hub.hub.url;
    assert.equal((await agent.sync({ maxWaitSeconds: 1 })).body.state, undefined, 'also after a restart');
    await act(hub, 'adopt');
    await tellWhenAsked(agent);
    await catchUp(agent);
    assert.ok(agent.epoch > before, 'the hub counts on, with the same items');
    assert.equal(agent.items.length, 2);
    assert.equal((await condition(hub))?.reason, 'Adopted');
  });

  test('adopt: hub and site are in step with the same digest, and nothing changed at the site', async (t) => {
    const { hub, agent } = await restoredHub(t);
    await tellWhenAsked(agent);
    const followed = agent.held().state;
    const asked = await act(hub, 'adopt');
    assert.equal(asked.status?.recovery?.state, 'Requested');
    assert.equal(asked.status?.recovery?.requestedBy, 'admin');
    assert.deepEqual(
      asked.status?.recovery?.changes?.map((line) => line.split(':')[0]),
      ['shop/sign', 'shop/till'],
    );
    await tellWhenAsked(agent);
    assert.deepEqual(agent.held().state, followed);
    const site = await hub.site('berlin');
    assert.equal(site.status?.recovery?.state, 'Done');
    assert.equal(site.status?.hubBehind, undefined);
    assert.equal((await condition(hub))?.reason, 'Adopted');
    assert.match(site.status?.recovery?.changes?.join('\n') ?? '', /does not have the content of sign-/);
    assert.deepEqual(site.spec?.variables, { color: 'red' });
    assert.equal(site.spec?.timeZone, 'Europe/Berlin');
    assert.equal(site.spec?.hold?.reason, 'stock-taking');
    // The hub looks at all of it, and finds nothing to change.
    for (let i = 0; i < 3; i++) {
      assert.equal((await agent.sync({ maxWaitSeconds: 1 })).body.state, undefined);
    }
    assert.equal((await hub.hub.fleet.siteEpochs()).get('berlin'), followed.epoch);
    // And from there the site follows again.
    await hub.assign('berlin', 'till', 'three');
    await catchUp(agent);
    assert.equal(agent.epoch, followed.epoch + 1);
    assert.equal(agent.items.length, 2);
  });

  test('override: the site takes what the hub wants, and keeps what the hub knows nothing of', async (t) => {
    const { hub, agent } = await restoredHub(t);
    await tellWhenAsked(agent);
    const sign = agent.items.find((i) => i.id.endsWith('/sign'));
    const before = agent.epoch;
    const preview = await act(hub, 'override', { dryRun: 'All' });
    assert.match(
      preview.status?.recovery?.changes?.join('\n') ?? '',
      /shop\/till: changes from till-\w+ to till-/,
    );
    assert.match(preview.status?.recovery?.changes?.join('\n') ?? '', /shop\/sign: stays sign-/);
    assert.equal((await hub.site('berlin')).status?.recovery, undefined, 'a dry run keeps nothing');
    await act(hub, 'override');
    await tellWhenAsked(agent);
    await eventually(async () => {
      await catchUp(agent);
      return (await condition(hub))?.status === 'False' && agent.epoch > before;
    });
    assert.deepEqual(
      agent.items.map((i) => i.id),
      ['Application/shop/sign', 'Application/shop/till'],
    );
    assert.deepEqual(agent.tombstones, []);
    assert.deepEqual(
      agent.items.find((i) => i.id.endsWith('/sign')),
      sign,
    );
    const till = agent.items.find((i) => i.id.endsWith('/till'));
    assert.ok((till?.epoch ?? 0) > before, 'what the site said of it before counts no more');
    assert.equal((await agent.getBlob(till?.digest ?? '')).bytes.toString(), 'one');
    await eventually(async () => {
      await catchUp(agent);
      return agent.variables['color'] === undefined;
    });
  });

  test('a wish for a silent site is kept, over a restart, and done when it comes back', async (t) => {
    const { hub, agent } = await restoredHub(t);
    await tellWhenAsked(agent);
    hub.clock.offsetMilliseconds = 3_600_000;
    const asked = await eventually(async () => {
      const site = await hub.site('berlin');
      return site.status?.connectivity === 'Away' && act(hub, 'adopt');
    });
    assert.match(asked.status?.recovery?.message ?? '', /silent since .* when it comes back/);
    hub.clock.offsetMilliseconds = 0;
    await hub.stop();
    await hub.start();
    agent.url = hub.hub.url;
    await tellWhenAsked(agent);
    assert.equal((await hub.site('berlin')).status?.recovery?.state, 'Done');
    assert.equal((await condition(hub))?.status, 'False');
  });

  test('is refused where hub and site are in step', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    for (const action of ['adopt', 'override']) {
      await assert.rejects(act(hub, action), { reason: 'Conflict', message: /nothing to (adopt|override)/ });
    }
    // A state that nobody asked for changes nothing.
    const { code } = await agent.sync({ held: agent.held(), maxWaitSeconds: 1 });
    assert.equal(code, 200);
    assert.equal((await hub.site('berlin')).status?.hubBehind, undefined);
  });

  test('believes no state that its own key did not sign for this very site and epoch', async (t) => {
    const { hub, agent } = await restoredHub(t);
    await agent.sync({ maxWaitSeconds: 1 });
    const held = agent.held();
    const { privateKey } = generateKeyPairSync('ed25519');
    const [head = '', payload = '', signature = ''] = held.signed.split('.');
    const other = sign(null, Buffer.from(`${head}.${payload}`), privateKey).toString('base64url');
    const [item] = held.state.items;
    assert.ok(item);
    const forged: [RegExp, Partial<SyncRequest>][] = [
      [/not signed/, { held: { ...held, signed: `${head}.${payload}.${other}` } }],
      [/not signed/, { held: { ...held, signed: 'nonsense' } }],
      [/not signed/, { held: { ...held, signed: `${held.signed}.more` } }],
      [/for site "munich"/, { held: { ...held, state: { ...held.state, site: 'munich' } } }],
      [/for siteUid/, { held: { ...held, state: { ...held.state, siteUid: 'other' } } }],
      [/not what was sent/, { held: { ...held, state: { ...held.state, items: [item] } } }],
      [
        /not what was sent/,
        { held: { ...held, state: { ...held.state, policy: { timeZone: 'Europe/Berlin' } } } },
      ],
      [/follows epoch 99/, { held, epoch: 99 }],
    ];
    assert.ok(signature);
    for (const [message, over] of forged) {
      await act(hub, 'adopt');
      const { code } = await agent.sync({ ...over, maxWaitSeconds: 1 });
      assert.equal(code, 200);
      const { recovery, hubBehind } = (await hub.site('berlin')).status ?? {};
      assert.equal(recovery?.state, 'Refused');
      assert.match(recovery?.message ?? '', message);
      assert.equal(hubBehind, undefined);
      assert.equal((await condition(hub))?.status, 'True');
    }
    // One that cannot even be read, as from before an upgrade, is no reason not to hear the agent.
    await act(hub, 'adopt');
    const { policy: _, ...old } = held.state;
    const unread = JSON.stringify({
      ...agent.syncRequest({ maxWaitSeconds: 1 }),
      held: { ...held, state: old },
    });
    const { code } = await agent.signedCall({ method: 'POST', path: '/sync/v1', body: unread });
    assert.equal(code, 200);
    assert.match(
      (await hub.site('berlin')).status?.recovery?.message ?? '',
      /held\.state\.policy: must be an object/,
    );
    await act(hub, 'adopt');
    await tellWhenAsked(agent);
    assert.equal((await hub.site('berlin')).status?.recovery?.state, 'Done');
  });

  test('that counted on before the site came is found out all the same, by what the site follows', async (t) => {
    const { hub, agent } = await restoredHub(t);
    const before = agent.held().state;
    // The site was not heard of since the restore, and the hub goes on with what it was at.
    for (const content of ['a', 'b', 'c', 'd', 'e', 'f']) await hub.assign('berlin', 'menu', content);
    assert.ok(((await hub.hub.fleet.siteEpochs()).get('berlin') ?? 0) > agent.epoch);
    const { body } = await agent.sync({ maxWaitSeconds: 1 });
    assert.ok(body.state);
    await assert.rejects(agent.accept(body.state), /does not fit its digest/);
    const asked = await agent.sync({ full: true, maxWaitSeconds: 1 });
    assert.deepEqual([asked.body.sendState, asked.body.state], [true, undefined]);
    const shown = await agent.sync({ full: true, held: agent.held(), maxWaitSeconds: 1 });
    assert.equal(shown.body.state, undefined);
    assert.equal((await condition(hub))?.status, 'True');
    assert.equal((await agent.sync({ full: true, maxWaitSeconds: 1 })).body.state, undefined);
    await act(hub, 'adopt');
    await tellWhenAsked(agent);
    await catchUp(agent);
    assert.deepEqual([agent.items, agent.variables], [before.items, before.variables]);
    assert.ok(agent.epoch > before.epoch);
  });

  test('a claim is no proof: shown its own earlier state, the hub goes back to nothing', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const old = agent.held();
    await hub.assign('berlin', 'till', 'two');
    await catchUp(agent);
    await agent.sync({ epoch: 123456, maxWaitSeconds: 1 });
    assert.equal((await condition(hub))?.reason, 'AgentClaimsNewerState');
    await act(hub, 'adopt');
    const { epoch } = old.state;
    await agent.sync({ held: old, epoch, stateDigest: stateDigest(old.state), maxWaitSeconds: 1 });
    const { recovery, hubBehind } = (await hub.site('berlin')).status ?? {};
    assert.deepEqual([recovery?.state, hubBehind], ['Refused', undefined]);
    assert.equal((await condition(hub))?.reason, 'OwnEarlierState');
    assert.equal((await hub.hub.fleet.siteState('berlin')).epoch, agent.epoch);
    const row = (await hub.hub.fleet.siteState('berlin')).rows[0];
    assert.equal(row?.epoch, agent.epoch, 'the newer release is still wanted');
  });

  test('does not adopt an older state than the site showed before', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    const saved = await saveHub(t, hub);
    agent.url = hub.hub.url;
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const old = agent.held();
    await hub.assign('berlin', 'till', 'two');
    await catchUp(agent);
    await saved.putBack();
    agent.url = hub.hub.url;
    await tellWhenAsked(agent);
    await act(hub, 'adopt');
    const { epoch } = old.state;
    await agent.sync({ held: old, epoch, stateDigest: stateDigest(old.state), maxWaitSeconds: 1 });
    const { recovery } = (await hub.site('berlin')).status ?? {};
    assert.equal(recovery?.state, 'Refused');
    assert.match(recovery?.message ?? '', /an older state is not adopted/);
    assert.equal((await condition(hub))?.status, 'True');
  });

  test('overrides a site that never shows what it says it follows', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await catchUp(agent);
    const claim = { epoch: 5_000, maxWaitSeconds: 1 };
    await agent.sync(claim);
    await act(hub, 'override');
    await eventually(async () => {
      hub.clock.offsetMilliseconds += 61_000;
      await agent.sync(claim, { clockOffsetSeconds: hub.clock.offsetMilliseconds / 1000 });
      return (await condition(hub))?.reason === 'Overridden';
    });
    assert.equal((await hub.hub.fleet.siteState('berlin')).epoch, 5_001);
    const { body } = await agent.sync(claim, { clockOffsetSeconds: hub.clock.offsetMilliseconds / 1000 });
    assert.equal(body.state?.items[0]?.epoch, 5_001);
  });

  test('forgets what a site claimed when its key is revoked', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await agent.sync({ epoch: 99, maxWaitSeconds: 1 });
    assert.equal((await condition(hub))?.status, 'True');
    await hub.hub.client.mergePatch(
      sites,
      { name: 'berlin' },
      { spec: { revokedKeys: [agent.fingerprint] } },
    );
    await eventually(async () => (await condition(hub))?.reason === 'KeyRemoved');
  });

  test('who asks for all of an honest hub shows its state, and gets it', async (t) => {
    const hub = await TestHub.start(t, { syncWait: '1s' });
    const agent = await hub.enrolledAgent('berlin');
    await hub.assign('berlin', 'till', 'one');
    await hub.assign('berlin', 'menu', 'one');
    await catchUp(agent);
    await hub.remove('berlin', 'menu');
    await hub.assign('berlin', 'till', 'two');
    assert.equal((await agent.sync({ full: true, maxWaitSeconds: 1 })).body.sendState, true);
    const { body } = await agent.sync({ full: true, held: agent.held(), maxWaitSeconds: 1 });
    assert.equal(body.state?.full, true);
    assert.equal(await condition(hub), undefined);
  });

  test('a site that lost its disk holds nothing: it is given what the hub has', async (t) => {
    const { hub, agent } = await restoredHub(t);
    await agent.sync({ maxWaitSeconds: 1 });
    const { body } = await agent.sync({ epoch: 0, stateDigest: '', maxWaitSeconds: 1 });
    assert.equal(body.state?.items.length, 1);
    assert.equal((await condition(hub))?.status, 'False');
  });
});
