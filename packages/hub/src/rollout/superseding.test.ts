import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { digestOf, SimulatedFleet } from './testing/simulated-fleet.ts';

const shops = (count: number) => Array.from({ length: count }, (_, index) => `shop-${index + 1}`);
const half = {
  waves: [
    { name: 'half', percent: 50, soak: '1h' },
    { name: 'rest', percent: 100 },
  ],
};
const crashes = { prepare: 'passes', run: 'crashes' } as const;

describe('a newer release', () => {
  test('leaves alone what runs, and goes over it wave by wave', () => {
    const fleet = new SimulatedFleet({}, shops(4));
    fleet.settle();
    fleet.startRelease('b', half);
    fleet.settle();
    const withB = fleet.running('b');
    assert.equal(withB.length, 2);
    fleet.startRelease('c', half);
    fleet.settle();
    fleet.wait(3600);
    fleet.settle();
    assert.equal(fleet.running('c').length, 4);
    for (const name of fleet.siteNames) {
      assert.equal(fleet.row(name).terms.fallback?.digest, digestOf(withB.includes(name) ? 'b' : 'a'), name);
    }
  });

  test('takes an older one out of the queues of those that have not activated it', () => {
    const fleet = new SimulatedFleet({}, shops(4));
    fleet.settle();
    for (const name of fleet.siteNames) fleet.site(name).windowOpen = false;
    fleet.disconnect('shop-1');
    fleet.startRelease('b', { waves: [{ name: 'all', percent: 100 }] });
    fleet.settle();
    assert.equal(fleet.assigned('b').length, 4);
    fleet.startRelease('c', {
      waves: [
        { name: 'canary', sites: 1 },
        { name: 'rest', percent: 100 },
      ],
    });
    fleet.settle();
    assert.deepEqual(
      [fleet.assigned('b').length, fleet.assigned('c').length, fleet.assigned('a').length],
      [0, 1, 3],
    );
    fleet.connect('shop-1');
    for (const name of fleet.siteNames) fleet.site(name).windowOpen = true;
    fleet.settle();
    assert.equal(fleet.running('c').length, 4);
    for (const name of fleet.siteNames) {
      assert.deepEqual(
        fleet.site(name).activations.map((a) => a.digest),
        [digestOf('a'), digestOf('c')],
        name,
      );
    }
  });

  test('while an older one goes back: sites leave the condemned one first, then get the new one', () => {
    const fleet = new SimulatedFleet({}, shops(6));
    fleet.settle();
    fleet.startRelease('b', { waves: [{ name: 'all', percent: 100, maxConcurrent: 1, soak: '1h' }] });
    fleet.settle();
    fleet.disconnect('shop-2');
    fleet.stop = 'Revert';
    fleet.step();
    fleet.startRelease('c', { waves: [{ name: 'all', percent: 100 }] });
    fleet.settle();
    assert.equal(fleet.running('c').length, 5);
    fleet.connect('shop-2');
    fleet.settle();
    assert.deepEqual(
      fleet.site('shop-2').activations.map((a) => a.digest),
      ['a', 'b', 'a', 'c'].map(digestOf),
    );
  });

  test('while an older one goes back does not lift its limit: one site after the other leaves the condemned one', () => {
    const oneByOne = {
      waves: [
        { name: 'canary', sites: 1, maxConcurrent: 1 },
        { name: 'rest', percent: 100, maxConcurrent: 1, soak: '1h' },
      ],
    };
    const fleet = new SimulatedFleet(oneByOne, shops(8));
    fleet.settle();
    fleet.wait(3600);
    fleet.settle();
    fleet.startRelease('b', oneByOne);
    fleet.settle();
    fleet.stop = 'Revert';
    fleet.step();
    fleet.startRelease('c', oneByOne);
    for (let round = 0; round < 12; round++) {
      const goBack = fleet.step().assign.filter(({ release }) => release === 'a');
      assert.ok(goBack.length <= 1, `${goBack.length} leave it at once`);
      for (const name of fleet.siteNames) fleet.exchange(name);
    }
    fleet.settle();
    assert.deepEqual(fleet.running('b'), []);
  });

  test('leaves alone what was adopted from a site until its wave draws it', () => {
    const fleet = new SimulatedFleet({}, shops(4));
    fleet.settle();
    fleet.startRelease('z');
    fleet.settle();
    // The hub comes from a backup: it knows nothing of z, and a person took over what the sites run.
    fleet.releases.delete('z');
    fleet.startRelease('c', half);
    const plan = fleet.settle();
    assert.deepEqual(plan.assign, []);
    assert.deepEqual([fleet.running('z').length, fleet.running('c').length], [2, 2]);
  });

  test('going back to an older release is a new attempt: only new reports count', () => {
    const fleet = new SimulatedFleet({}, shops(10));
    fleet.settle();
    fleet.startRelease('b');
    fleet.setOutcome('b', crashes);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Reverted');
    fleet.startRelease('a');
    fleet.step();
    assert.equal(fleet.status?.waves?.[0]?.phase, 'Progressing', 'the old reports of a do not count');
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
  });

  test('a release that failed at a site is tried again there by a newer rollout of it', () => {
    const fleet = new SimulatedFleet({}, shops(1));
    fleet.settle();
    fleet.startRelease('b', { onBreach: 'Pause' });
    fleet.setOutcome('b', crashes);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Paused');
    fleet.setOutcome('b', { prepare: 'passes', run: 'healthy' });
    fleet.settle();
    assert.equal(fleet.running('a').length, 1, 'the site remembers');
    fleet.startRelease('b');
    fleet.settle();
    assert.equal(fleet.running('b').length, 1);
  });
});

describe('sites that come back or come new', () => {
  test('after several releases go straight to the newest approved', () => {
    const fleet = new SimulatedFleet({}, shops(4));
    fleet.settle();
    fleet.disconnect('shop-3');
    for (const release of ['b', 'c', 'd']) {
      fleet.startRelease(release);
      fleet.settle();
    }
    assert.equal(fleet.row('shop-3').release, 'd');
    fleet.connect('shop-3');
    fleet.settle();
    assert.deepEqual(
      fleet.site('shop-3').activations.map((a) => a.digest),
      [digestOf('a'), digestOf('d')],
    );
  });

  test('while a newer one is being tried get the approved one first', () => {
    const fleet = new SimulatedFleet({}, shops(4));
    fleet.settle();
    fleet.startRelease('b', {
      waves: [
        { name: 'half', sites: 2, soak: '1h' },
        { name: 'rest', percent: 100 },
      ],
    });
    fleet.settle();
    fleet.addSite('new');
    const plan = fleet.step();
    assert.deepEqual(
      plan.assign.map(({ site, release, wave, terms }) => ({
        site,
        release,
        wave,
        activate: terms.activate,
      })),
      [{ site: 'new', release: 'a', wave: '', activate: 'Window' }],
    );
    fleet.settle();
    assert.equal(fleet.site('new').active, digestOf('a'));
    fleet.wait(3600);
    fleet.settle();
    assert.equal(fleet.site('new').active, digestOf('b'));
  });

  test('after a revert catch up to the approved one', () => {
    const fleet = new SimulatedFleet({}, shops(3));
    fleet.settle();
    fleet.startRelease('b');
    fleet.setOutcome('b', crashes);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Reverted');
    fleet.addSite('new');
    fleet.settle();
    assert.equal(fleet.site('new').active, digestOf('a'));
  });
});
