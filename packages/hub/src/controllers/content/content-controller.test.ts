import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Application,
  type ApplicationStatus,
  applications,
  events,
  type Site,
  sites,
} from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { rackSpec } from '../../gateway/testing/machine-reports.ts';
import { withCondition } from '../../rollout/conditions.ts';
import { TestHub } from '../testing/test-hub.ts';

const hour = 3_600_000;

async function putContent(hub: TestHub, text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  await hub.fleet.putBlob(sha256Digest(bytes), bytes);
  return sha256Digest(bytes);
}

/** Counts readings of all rows of the fleet, and of all objects of a kind; those of Events are by others, at their own times. */
function countReadings(hub: TestHub): { rows: number; lists: number } {
  const counts = { rows: 0, lists: 0 };
  const { fleet, client } = hub;
  const listDeliveries = fleet.listDeliveries.bind(fleet);
  const list = client.list.bind(client);
  fleet.listDeliveries = (filter) => {
    if (Object.keys(filter).length === 0) counts.rows += 1;
    return listDeliveries(filter);
  };
  client.list = (ref, options = {}) => {
    if (ref.plural !== events.plural && Object.keys(options).length === 0) counts.lists += 1;
    return list(ref, options);
  };
  return counts;
}

test('content that nothing names is found by one reading of the fleet, however much there is', async () => {
  await using hub = await TestHub.start();
  await hub.addSites('shop-1');
  await hub.apply();
  await hub.eventually(async () => assert.equal((await hub.application()).status?.phase, 'Completed'));
  const [kept] = await hub.fleet.blobDigests();
  const counts = countReadings(hub);
  const hourOf = async () => {
    const before = { ...counts };
    await hub.pass(hour);
    await hub.eventually(async () => assert.deepEqual(await hub.fleet.blobDigests(), [kept]));
    return { rows: counts.rows - before.rows, lists: counts.lists - before.lists };
  };
  const quiet = await hourOf();
  for (let i = 0; i < 60; i++) await putContent(hub, `left over ${i}`);
  const busy = await hourOf();
  assert.ok(busy.rows - quiet.rows <= 2, `${quiet.rows} readings of all rows, then ${busy.rows}`);
  assert.ok(busy.lists - quiet.lists <= 6, `${quiet.lists} lists, then ${busy.lists}`);
});

test('a script stays as a rack was told of it, while newer orders are held back from it', async () => {
  await using hub = await TestHub.start();
  await hub.addSite('lab', { spec: { rack: rackSpec } });
  await hub.addSites('shop-1');
  const told = await hub.eventually(async () => {
    const { policy } = await hub.fleet.siteState('lab');
    assert.ok(policy.rack);
    return { ...policy, rack: policy.rack };
  });
  const time = hub.clock.now().toISOString();
  await hub.eventually(async () => {
    const site = await hub.client.get<Site>(sites, { name: 'lab' });
    const { uid: siteUid = '' } = site.metadata;
    const key = { site: 'lab', siteUid, publicKey: 'k', fingerprint: 'f', tokenUid: 't', enrolledAt: time };
    await hub.fleet.addSiteKey(key);
    const behind = {
      type: 'HubBehind',
      status: 'True',
      reason: 'StateIsOlder',
      message: 'restored',
    } as const;
    const conditions = withCondition(site.status?.conditions ?? [], behind, time);
    await hub.client.updateStatus<Site>(sites, { ...site, status: { ...site.status, conditions } });
  });
  const script = await putContent(hub, 'as it was');
  const metadata = {
    name: 'burn-in',
    type: 'Testing',
    hardwareType: 'Node',
    parallel: 'Disabled',
    timeoutSeconds: 60,
    tags: [],
    forHardware: [],
    mayReboot: false,
  } as const;
  const scripts = [{ name: 'burn-in', digest: script, metadata }];
  await hub.fleet.setSiteSettings('lab', {
    variables: {},
    policy: { ...told, rack: { ...told.rack, scripts } },
  });
  const left = await putContent(hub, 'left over');
  await hub.pass(hour);
  await hub.eventually(async () => assert.equal(await hub.fleet.hasBlob(left), false));
  assert.equal(await hub.fleet.hasBlob(script), true);
});

test('what a source gave and what a mirrored site has brought stays', async () => {
  await using hub = await TestHub.start();
  await hub.addSites('shop-1');
  const [source = '', variant = '', received = ''] = await Promise.all(
    ['source', 'variant', 'received'].map((text) => putContent(hub, text)),
  );
  const time = hub.clock.now().toISOString();
  const { metadata } = await hub.apply({
    source: { mirror: { site: 'shop-1', namespaces: ['till'], selector: {} } },
  });
  const site = await hub.eventually(async () => {
    const { policy } = await hub.fleet.siteState('shop-1');
    assert.equal(policy.mirrors?.length, 1);
    return hub.client.get<Site>(sites, { name: 'shop-1' });
  });
  const mirror = {
    uid: metadata.uid ?? '',
    order: 'o',
    digest: received,
    received,
    objects: 1,
    observedTime: time,
  };
  await hub.client.updateStatus<Site>(sites, { ...site, status: { ...site.status, mirrors: [mirror] } });
  const charts = await hub.apply({ source: { git: { url: 'https://git.example/shop' } } }, 'charts');
  const read: NonNullable<ApplicationStatus['source']> = {
    kind: 'git',
    revision: 'main',
    digest: source,
    specDigest: 'd',
    manifests: 1,
    readTime: time,
    variants: [{ overrides: ['de'], digest: variant }],
  };
  await hub.eventually(async () => {
    const newest = await hub.client.get<Application>(applications, charts.metadata);
    const status = { ...newest.status, source: read };
    await hub.client.updateStatus<Application>(applications, { ...newest, status });
  });
  const left = await putContent(hub, 'left over');
  await hub.pass(hour);
  await hub.eventually(async () => assert.equal(await hub.fleet.hasBlob(left), false));
  assert.deepEqual((await hub.fleet.blobDigests()).toSorted(), [source, variant, received].toSorted());
});
