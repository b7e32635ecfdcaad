import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Site, sites } from '@selvedge/api';
import { resourcePath } from '@selvedge/kube';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

const names = ['shop-0', 'shop-1', 'shop-2'];
const rollout = { waves: [{ name: 'all', percent: 100 }] };

/** A hub that was put back to how it was before version 2 went out and application `sign` was made. */
async function startRestored(): Promise<FleetLab> {
  const lab = await FleetLab.start();
  await lab.addSites(names);
  await lab.apply('till', { version: '1', rollout });
  await lab.rolloutReaches('till-1', 'Completed');
  await lab.stopHub();
  await lab.saveHub('last-week');
  await lab.startHub();
  await lab.apply('till', { version: '2', rollout });
  await lab.rolloutReaches('till-2', 'Completed');
  await lab.apply('sign', { version: '7', rollout });
  await lab.rolloutReaches('sign-1', 'Completed');
  await lab.stopHub();
  await lab.putBackHub('last-week');
  await lab.startHub();
  await lab.untilWithin(hours(2), 'every Site shows HubBehind', async () => {
    const { items } = await lab.client.list<Site>(sites);
    return items.every((site) =>
      site.status?.conditions?.some((c) => c.type === 'HubBehind' && c.status === 'True'),
    );
  });
  return lab;
}

function act(lab: FleetLab, site: string, action: 'adopt' | 'override'): Promise<unknown> {
  return lab.client.request({
    method: 'POST',
    path: resourcePath(sites, { name: site, subresource: action }),
    body: {},
  });
}

async function isInStep(lab: FleetLab, name: string): Promise<boolean> {
  const site = await lab.client.get<Site>(sites, { name });
  return !site.status?.conditions?.some((c) => c.type === 'HubBehind' && c.status === 'True');
}

test('a hub restored from last week uninstalls nothing and sets nobody back; adopt takes what the sites run', async () => {
  await using lab = await startRestored();
  await lab.pass(hours(12));
  for (const name of names) {
    assert.equal(lab.versionAt(name, 'till'), '2');
    assert.equal(lab.versionAt(name, 'sign'), '7');
  }
  const before = names.map((name) => lab.site(name).agent.driver.activations('till').length);
  for (const name of names) await act(lab, name, 'adopt');
  await lab.untilWithin(minutes(60), 'hub and sites are in step', async () =>
    (await Promise.all(names.map((name) => isInStep(lab, name)))).every(Boolean),
  );
  await lab.pass(hours(6));
  for (const [index, name] of names.entries()) {
    assert.equal(lab.versionAt(name, 'till'), '2', 'adopted, not overwritten by the older Application');
    assert.equal(lab.versionAt(name, 'sign'), '7', 'of an Application that this hub does not know');
    assert.equal(
      lab.site(name).agent.driver.activations('till').length,
      before[index],
      'nothing was restarted',
    );
  }
  // The people bring the hub up to date; the sites follow again.
  await lab.apply('till', { version: '3', rollout });
  // Not till-2: the sites remember an attempt of that number.
  await lab.rolloutReaches('till-3', 'Completed');
  for (const name of names) assert.equal(lab.versionAt(name, 'till'), '3');
});

test('override: what the restored hub says wins, for the site where a person said so and no other', async () => {
  await using lab = await startRestored();
  await act(lab, 'shop-0', 'override');
  await lab.untilWithin(
    minutes(60),
    'the site follows the hub',
    async () => lab.versionAt('shop-0', 'till') === '1',
  );
  assert.equal(lab.versionAt('shop-0', 'sign'), '7', 'no tombstone came for it');
  await lab.pass(hours(6));
  for (const name of ['shop-1', 'shop-2']) assert.equal(lab.versionAt(name, 'till'), '2');
});

test('a hub without its memory at all changes nothing either', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(names);
  await lab.apply('till', { version: '1', rollout });
  await lab.rolloutReaches('till-1', 'Completed');
  await lab.stopHub();
  await lab.loseHubStore();
  await lab.startHub();
  await lab.pass(hours(24));
  for (const name of names) assert.equal(lab.versionAt(name, 'till'), '1');
});
