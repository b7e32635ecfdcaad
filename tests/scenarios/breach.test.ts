import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Application, applications, type Release, releaseName, releases } from '@selvedge/api';
import { resourcePath } from '@selvedge/kube';
import { FleetLab, hours, minutes } from './fleet-lab.ts';

const names = ['shop-0', 'shop-1', 'shop-2', 'shop-3', 'shop-4', 'shop-5'];
const waves = [
  { name: 'canary', sites: 1, soak: '20m' },
  { name: 'half', percent: 50, soak: '20m' },
  { name: 'rest', percent: 100 },
];

async function startWithVersionOne(): Promise<FleetLab> {
  const lab = await FleetLab.start();
  await lab.addSites(names);
  await lab.apply('till', { version: '1', rollout: { waves } });
  await lab.rolloutReaches('till-1', 'Completed');
  return lab;
}

/** The site that went first. */
function canaryOf(lab: FleetLab): string {
  const tried = names.filter((name) => lab.site(name).agent.driver.activations('till').length > 1);
  assert.equal(tried.length, 1, `only the canary tried it, not ${tried.join(', ')}`);
  return tried[0] as string;
}

async function releaseOf(lab: FleetLab, rollout: string): Promise<Release> {
  const { spec } = (await lab.findRollout(rollout)) ?? assert.fail(`no rollout ${rollout}`);
  return lab.client.get<Release>(releases, {
    namespace: 'shop',
    name: releaseName(spec.application, spec.digest),
  });
}

test('a canary that crashes: the release is condemned, the canary goes back, nobody else ever takes it', async () => {
  await using lab = await startWithVersionOne();
  await lab.apply('till', { version: '2', outcome: { health: 'crash' }, rollout: { waves } });
  const { status } = await lab.rolloutReaches('till-2', 'Reverted');
  canaryOf(lab);
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '1'));
  assert.equal(status?.breach?.wave, 'canary');
  assert.ok((await releaseOf(lab, 'till-2')).status?.condemned);

  // A person takes the edit back and makes it again: the same content stays condemned until somebody lifts that.
  await lab.apply('till', { version: '1', rollout: { waves } });
  await lab.rolloutReaches('till-3', 'Completed');
  await lab.apply('till', { version: '2', outcome: { health: 'crash' }, rollout: { waves } });
  await lab.rolloutReaches('till-4', 'Blocked');
  await lab.pass(hours(2));
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '1'));

  // Its cause is away (the driver lets it run now), and a person lifts it.
  const { metadata } = await releaseOf(lab, 'till-4');
  for (const name of names) lab.site(name).agent.driver.ignoreScripts = true;
  await lab.client.request({
    method: 'POST',
    path: resourcePath(releases, { namespace: 'shop', name: metadata.name, subresource: 'lift' }),
    body: {},
  });
  await lab.rolloutReaches('till-5', 'Completed');
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '2'));
});

test('a release that passes readiness and fails in the soak of the second wave: all that took it go back, last first', async () => {
  await using lab = await startWithVersionOne();
  // Healthy for half an hour everywhere: longer than the canary's soak, shorter than the two waves'.
  await lab.apply('till', { version: '2', outcome: { health: 'fails-after:1800' }, rollout: { waves } });
  const { status } = await lab.rolloutReaches('till-2', 'Reverted');
  const took = names.filter((name) => lab.site(name).agent.driver.activations('till').includes('2'));
  assert.equal(took.length, 3, 'canary and second wave took it, the rest never did');
  assert.ok(Object.values(lab.versions('till')).every((version) => version === '1'));
  assert.equal(status?.waves?.find((wave) => wave.name === 'rest')?.phase, 'Waiting');
  const application = await lab.client.get<Application>(applications, { namespace: 'shop', name: 'till' });
  assert.equal(
    application.status?.approvedRelease,
    (await releaseOf(lab, 'till-1')).metadata.name,
    'the release before is what new and returning sites get',
  );
});

test('who was away when the release was condemned never takes it', async () => {
  await using lab = await startWithVersionOne();
  const rollout = { waves: [{ name: 'all', percent: 100, soak: '2h' }] };
  lab.cut('shop-4', 'shop-5');
  await lab.pass(hours(1));
  await lab.apply('till', { version: '2', outcome: { health: 'fails-after:3600' }, rollout });
  await lab.rolloutReaches('till-2', 'Reverted');
  lab.restore('shop-4', 'shop-5');
  await lab.pass(hours(1));
  for (const name of ['shop-4', 'shop-5']) {
    assert.deepEqual(lab.site(name).agent.driver.activations('till'), ['1'], `${name} was spared`);
  }
});

test('a site cut off goes back by itself, remembers, and tells it when it is in touch again', async () => {
  await using lab = await startWithVersionOne();
  // Only shop-3 cannot run it, and it is cut off right after it heard of the release.
  await lab.apply('till', {
    version: '2',
    outcome: { health: 'never', sites: ['shop-3'] },
    rollout: { waves: [{ name: 'all', percent: 100 }], budget: { failed: 1 }, deadline: '10m' },
  });
  await lab.until('shop-3 tries it', async () =>
    lab.site('shop-3').agent.driver.activations('till').includes('2'),
  );
  lab.cut('shop-3');
  await lab.untilWithin(minutes(60), 'it went back', async () => lab.versionAt('shop-3', 'till') === '1');
  await lab.stopAgent('shop-3');
  lab.startAgent('shop-3');
  await lab.pass(minutes(30));
  assert.equal(lab.versionAt('shop-3', 'till'), '1', 'it remembers across a restart');
  lab.restore('shop-3');
  await lab.untilWithin(minutes(60), 'the hub knows', async () => {
    const delivery = await lab.findDelivery('till', 'shop-3');
    return delivery?.status.state === 'Failed' && delivery.status.wentBack === 'Unhealthy';
  });
  assert.equal((await lab.rolloutReaches('till-2', 'Completed')).status?.sites?.failed, 1);
});

test('with onBreach Pause nothing goes back, and it goes on when a person widens the budget and lets it go on unproved', async () => {
  await using lab = await startWithVersionOne();
  await lab.apply('till', {
    version: '2',
    outcome: { health: 'never', sites: ['shop-0', 'shop-1', 'shop-2', 'shop-3', 'shop-4'] },
    rollout: {
      waves: [
        { name: 'first', siteNames: ['shop-0'] },
        { name: 'rest', percent: 100 },
      ],
      onBreach: 'Pause',
    },
  });
  await lab.rolloutReaches('till-2', 'Paused');
  assert.deepEqual(
    names.filter((name) => lab.site(name).agent.driver.activations('till').includes('2')),
    ['shop-0'],
  );
  await lab.patchRollout('till-2', { spec: { strategy: { budget: { failed: 5 } } } });
  await lab.rolloutReaches('till-2', 'Progressing');
  assert.equal(lab.versionAt('shop-5', 'till'), '1', 'a wave that failed everywhere has proved nothing');
  await lab.patchRollout('till-2', { spec: { waivedWaves: ['first'] } });
  const { status } = await lab.rolloutReaches('till-2', 'Completed');
  assert.equal(status?.sites?.failed, 5);
  assert.equal(lab.versionAt('shop-5', 'till'), '2');
});
