import assert from 'node:assert/strict';
import { test } from 'node:test';
import { holdSite, releaseSite, rollBackItem } from '@selvedge/agent/testing';
import { type KubeObject, type ResourceRef, type Site, sites } from '@selvedge/api';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

const names = ['shop-0', 'shop-1', 'shop-2', 'shop-3'];
const events: ResourceRef = { group: '', version: 'v1', plural: 'events', kind: 'Event', namespaced: true };

async function labWithTill(): Promise<FleetLab> {
  const lab = await FleetLab.start();
  await lab.addSites(names);
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');
  return lab;
}

function actAt(lab: FleetLab, site: string, reason: string) {
  return { stateDir: lab.site(site).stateDir, by: 'anna', reason, clock: lab.clock };
}

test('a person holds a shop that is cut off: it changes nothing there, blocks nobody, and is told later', async () => {
  await using lab = await labWithTill();
  lab.cut('shop-2');
  await holdSite(actAt(lab, 'shop-2', 'inventory'));
  await lab.pass(hours(1));
  lab.restore('shop-2');
  await lab.untilWithin(minutes(60), 'the hub knows of the hold', async () => {
    const site = await lab.client.get<Site>(sites, { name: 'shop-2' });
    return site.status?.holds?.[0]?.reason === 'inventory' && site.status.holds[0]?.by === 'anna';
  });
  await lab.until('an Event tells of it', async () => {
    const { items } = await lab.client.list<KubeObject & { reason?: string; message?: string }>(events);
    return items.some((event) => event.message?.includes('inventory'));
  });

  await lab.apply('till', { version: '2' });
  const { status } = await lab.rolloutReaches('till-2', 'Completed');
  assert.equal(status?.sites?.held, 1);
  assert.equal(status?.sites?.failed, 0);
  assert.equal(lab.versionAt('shop-2', 'till'), '1');

  await releaseSite(actAt(lab, 'shop-2', 'inventory is done'));
  await lab.untilWithin(minutes(60), 'the shop follows', async () => lab.versionAt('shop-2', 'till') === '2');
});

test('a tombstone waits for the end of a hold', async () => {
  await using lab = await labWithTill();
  await holdSite(actAt(lab, 'shop-1', 'audit'));
  await lab.client.mergePatch(sites, { name: 'shop-1' }, { metadata: { labels: { tier: 'closed' } } });
  await lab.pass(hours(2));
  assert.equal(lab.versionAt('shop-1', 'till'), '1');
  await releaseSite(actAt(lab, 'shop-1', 'audit is done'));
  await lab.untilWithin(
    minutes(60),
    'it is removed',
    async () => lab.versionAt('shop-1', 'till') === undefined,
  );
});

test('a person at the site rolls back; the hub hears of it, and the release is not tried there again', async () => {
  await using lab = await labWithTill();
  await lab.apply('till', {
    version: '2',
    rollout: { waves: [{ name: 'all', percent: 100 }], budget: { failed: 1 } },
  });
  await lab.rolloutReaches('till-2', 'Completed');
  await rollBackItem({ ...actAt(lab, 'shop-3', 'the printer is silent'), item: 'till' });
  await lab.untilWithin(minutes(30), 'it went back', async () => lab.versionAt('shop-3', 'till') === '1');
  await lab.untilWithin(minutes(60), 'the hub knows why', async () => {
    const delivery = await lab.findDelivery('till', 'shop-3');
    return delivery?.status.wentBack === 'RolledBackBySite' && delivery.status.state === 'Failed';
  });
  await lab.stopAgent('shop-3');
  lab.startAgent('shop-3');
  await lab.pass(hours(2));
  assert.equal(lab.versionAt('shop-3', 'till'), '1');
  await lab.apply('till', { version: '3', rollout: { waves: [{ name: 'all', percent: 100 }] } });
  await lab.rolloutReaches('till-3', 'Completed');
  assert.equal(lab.versionAt('shop-3', 'till'), '3', 'a newer release is tried');
});
