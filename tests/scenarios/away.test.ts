import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

const names = Array.from({ length: 10 }, (_, index) => `shop-${index}`);
const dark = ['shop-2', 'shop-5', 'shop-8'];

test('with 30 % of the sites dark a rollout ends, nobody counts as failed, and they catch up on return', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(names);
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');

  lab.cut(...dark);
  await lab.pass(hours(1));
  const waves = [
    { name: 'canary', sites: 1, soak: '10m' },
    { name: 'half', percent: 50, soak: '10m' },
    { name: 'rest', percent: 100 },
  ];
  await lab.apply('till', { version: '2', rollout: { waves } });
  const { status } = await lab.rolloutReaches('till-2', 'Completed');
  assert.deepEqual(
    { ...status?.sites },
    {
      wanted: 10,
      running: 7,
      progressing: 0,
      prepared: 0,
      held: 0,
      failed: 0,
      away: 3,
      overdue: 0,
      waiting: 0,
    },
  );
  assert.equal(status?.failures, undefined);
  for (const name of dark) assert.equal(lab.versionAt(name, 'till'), '1', `${name} serves on`);

  // Longer than the Sites say is to be expected: another bucket, still no failure.
  await lab.pass(hours(24));
  await lab.until('the dark sites are overdue', async () => {
    const rollout = await lab.findRollout('till-2');
    return rollout?.status?.sites?.overdue === 3 && rollout.status.sites.away === 0;
  });

  // A newer one goes out meanwhile; who returns goes straight there.
  await lab.apply('till', { version: '3', rollout: { waves } });
  await lab.rolloutReaches('till-3', 'Completed');
  const seen = dark.map((name) => lab.site(name).agent.driver.activations('till').length);
  lab.restore(...dark);
  await lab.untilWithin(minutes(60), 'all run version 3', async () => {
    return Object.values(lab.versions('till')).every((version) => version === '3');
  });
  for (const [index, name] of dark.entries()) {
    const since = lab.site(name).agent.driver.activations('till').slice(seen[index]);
    assert.deepEqual(since, ['3'], `${name} went past version 2`);
  }
  await lab.untilWithin(minutes(60), 'the hub knows', async () => {
    return (await lab.findRollout('till-3'))?.status?.sites?.running === 10;
  });
});

test('when the sites of the first wave fall silent another one tries the release in their place', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(names.slice(0, 4));
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');
  await lab.apply('till', { version: '2', outcome: { prepare: 'slow:1200' } });
  let canary = '';
  await lab.until('the canary has it', async () => {
    for (const name of names.slice(0, 4)) {
      const { rollout, wave } = (await lab.findDelivery('till', name))?.spec ?? {};
      // One of the rollout before was the first there, too.
      if (rollout === 'till-2' && wave === 'canary') canary = name;
    }
    return canary !== '';
  });
  lab.cut(canary);
  const { status } = await lab.rolloutReaches('till-2', 'Completed');
  const wave = status?.waves?.[0];
  assert.deepEqual([wave?.sites, wave?.succeeded, wave?.away], [2, 1, 1], 'one site in touch stood in');
});

test('a first wave that names its sites waits for one of them, or for a person', async () => {
  await using lab = await FleetLab.start();
  await lab.addSites(names.slice(0, 4));
  await lab.apply('till', { version: '1' });
  await lab.rolloutReaches('till-1', 'Completed');
  lab.cut('shop-0', 'shop-1');
  await lab.pass(hours(1));
  const waves = [
    { name: 'pilot', siteNames: ['shop-0', 'shop-1'] },
    { name: 'rest', percent: 100 },
  ];
  await lab.apply('till', { version: '2', rollout: { waves } });
  await lab.pass(hours(3));
  assert.equal((await lab.findRollout('till-2'))?.status?.phase, 'Progressing');
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '1'));
  await lab.patchRollout('till-2', { spec: { waivedWaves: ['pilot'] } });
  await lab.rolloutReaches('till-2', 'Completed');
  assert.equal(lab.versionAt('shop-2', 'till'), '2');
});
