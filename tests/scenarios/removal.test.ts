import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Application, applications, type Site, sites } from '@selvedge/api';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

const names = ['shop-0', 'shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5'];

async function labWithTill(): Promise<FleetLab> {
  const lab = await FleetLab.start();
  await lab.addSites(names);
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');
  return lab;
}

function readTill(lab: FleetLab): Promise<Application | undefined> {
  return lab.client.find<Application>(applications, { namespace: 'shop', name: 'till' });
}

async function heldDigest(lab: FleetLab): Promise<string> {
  let digest: string | undefined;
  await lab.untilWithin(minutes(30), 'the removal is held', async () => {
    digest = (await readTill(lab))?.status?.heldRemoval?.digest;
    return digest !== undefined;
  });
  return digest as string;
}

test('a selector that selects nothing removes nothing until exactly that set is approved', async () => {
  await using lab = await labWithTill();
  const nowhere = { spec: { placement: { siteSelector: { matchLabels: { tier: 'stroe' } } } } };
  await lab.client.mergePatch(applications, { namespace: 'shop', name: 'till' }, nowhere);
  const digest = await heldDigest(lab);
  await lab.pass(hours(2));
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '1'));
  assert.equal((await readTill(lab))?.status?.heldRemoval?.sites, names.length);

  const approve = (approved: string) =>
    lab.client.mergePatch(
      applications,
      { namespace: 'shop', name: 'till' },
      { spec: { removal: { approved: { digest: approved } } } },
    );
  await approve(`sha256:${'0'.repeat(64)}`);
  await lab.pass(hours(1));
  assert.ok(
    Object.values(lab.versions('till')).every((version) => version === '1'),
    'another digest approves nothing',
  );
  await approve(digest);
  await lab.untilWithin(minutes(60), 'it is gone everywhere', async () =>
    Object.values(lab.versions('till')).every((version) => version === undefined),
  );
});

test('deleting an application of many sites waits for approval; a few sites may leave at once', async () => {
  await using lab = await labWithTill();
  for (const name of names.slice(0, 2)) {
    await lab.client.mergePatch(sites, { name }, { metadata: { labels: { tier: 'closed' } } });
  }
  await lab.untilWithin(minutes(60), 'the two have let go of it', async () => {
    const versions = lab.versions('till');
    return versions['shop-0'] === undefined && versions['shop-1'] === undefined;
  });
  await lab.client.delete(applications, { namespace: 'shop', name: 'till' });
  const digest = await heldDigest(lab);
  await lab.pass(hours(1));
  assert.equal(Object.values(lab.versions('till')).filter((version) => version === '1').length, 4);
  await lab.client.mergePatch(
    applications,
    { namespace: 'shop', name: 'till' },
    { spec: { removal: { approved: { digest } } } },
  );
  await lab.untilWithin(
    minutes(60),
    'the application is gone',
    async () => (await readTill(lab)) === undefined,
  );
  await lab.untilWithin(minutes(60), 'it is gone everywhere', async () =>
    Object.values(lab.versions('till')).every((version) => version === undefined),
  );
});

test('an application that is orphaned runs on where it was', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(['shop-0', 'shop-1']);
  await lab.apply('till', { version: '1', spec: { removal: { policy: 'Orphan' } } });
  await lab.rolloutReaches('till-1', 'Completed');
  await lab.client.delete(applications, { namespace: 'shop', name: 'till' });
  await lab.untilWithin(
    minutes(60),
    'the application is gone',
    async () => (await readTill(lab)) === undefined,
  );
  await lab.pass(minutes(30));
  for (const name of ['shop-0', 'shop-1']) {
    assert.deepEqual(lab.site(name).agent.driver.orphans('till'), ['1'], `${name} runs it on`);
  }
});

test('deleting most of the fleet waits for approval, and nothing at the sites stops in any case', async () => {
  await using lab = await labWithTill();
  for (const name of names.slice(0, 5)) await lab.client.delete(sites, { name });
  await lab.pass(hours(1));
  const held = await lab.client.list<Site>(sites);
  assert.equal(held.items.length, names.length);
  const digest = held.items.find((site) => site.metadata.name === 'shop-0')?.status?.heldRemoval?.digest;
  assert.ok(digest);
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '1'));
  for (const name of names.slice(0, 5)) {
    await lab.client.mergePatch(sites, { name }, { spec: { removal: { approved: { digest } } } });
  }
  await lab.untilWithin(minutes(60), 'the five are gone', async () => {
    return (await lab.client.list<Site>(sites)).items.length === 1;
  });
  assert.ok(
    Object.values(lab.versions('till')).every((version) => version === '1'),
    'a Site that is forgotten is no order to remove anything',
  );
});
