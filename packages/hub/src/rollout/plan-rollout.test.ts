import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SimulatedFleet } from './testing/simulated-fleet.ts';

const canaryThenAll = {
  waves: [
    { name: 'canary', sites: 1 },
    { name: 'early', percent: 50 },
    { name: 'rest', percent: 100 },
  ],
};
const shops = (count: number) => Array.from({ length: count }, (_, index) => `shop-${index + 1}`);
const minute = 60_000;

function phases(fleet: SimulatedFleet): string[] {
  return (fleet.status?.waves ?? []).map((wave) => `${wave.name}:${wave.phase}:${wave.sites}`);
}

/** Everybody who was given something answers, until nothing moves. */
function settle(fleet: SimulatedFleet): void {
  for (let round = 0; round < 20; round++) {
    const plan = fleet.step();
    const moved = plan.assign.length > 0 || plan.join.length > 0;
    for (const name of fleet.siteNames) fleet.answer(name);
    if (!moved && plan.status.phase === 'Completed') return;
  }
}

describe('waves', () => {
  test('go out one after the other, each on healthy reports of this release', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    fleet.step();
    assert.deepEqual(phases(fleet), ['canary:Progressing:1', 'early:Waiting:4', 'rest:Waiting:5']);
    assert.equal(fleet.assigned().length, 1);
    const [canary = ''] = fleet.assigned();
    fleet.answer(canary, 'Activating');
    assert.deepEqual(fleet.step().assign, []);
    fleet.answer(canary);
    fleet.step();
    assert.deepEqual(phases(fleet), ['canary:Passed:1', 'early:Progressing:4', 'rest:Waiting:5']);
    assert.equal(fleet.assigned().length, 5);
    assert.match(
      fleet.status?.message ?? '',
      /^wave early waits for shop-\d+, shop-\d+, shop-\d+ and 1 more$/,
    );
    settle(fleet);
    assert.equal(fleet.status?.phase, 'Completed');
    assert.deepEqual(fleet.status?.sites, {
      wanted: 10,
      running: 10,
      progressing: 0,
      failed: 0,
      away: 0,
      waiting: 0,
    });
  });

  test('soak from when the last site became healthy, and wake up when that is over', () => {
    const fleet = new SimulatedFleet(
      {
        waves: [
          { name: 'canary', sites: 1, soak: '10m' },
          { name: 'rest', percent: 100 },
        ],
      },
      shops(3),
    );
    fleet.step();
    const [canary = ''] = fleet.assigned();
    fleet.answer(canary);
    const plan = fleet.step();
    assert.equal(plan.status.waves?.[0]?.phase, 'Soaking');
    assert.equal(plan.wakeInSeconds, 600);
    assert.match(plan.status.message ?? '', /soaks until 2026-01-01T00:10:00/);
    fleet.now += 5 * minute;
    fleet.answer(canary, 'Degraded');
    assert.equal(fleet.step().status.waves?.[0]?.phase, 'Progressing');
    fleet.now += minute;
    fleet.answer(canary);
    fleet.now += 9 * minute;
    assert.equal(fleet.step().status.waves?.[0]?.phase, 'Soaking');
    fleet.now += minute;
    assert.equal(fleet.step().status.waves?.[0]?.phase, 'Passed');
    assert.equal(fleet.assigned().length, 3);
  });

  test('a report of another epoch, digest or application is no evidence', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(4));
    fleet.step();
    const [canary = ''] = fleet.assigned();
    fleet.sync(canary);
    const honest = fleet.makeReport(canary, 'Running');
    assert.ok(honest);
    for (const [seq, lie] of [{ epoch: 0 }, { digest: 'sha256:x' }, { uid: 'other' }].entries()) {
      fleet.deliver(canary, { ...honest, ...lie, seq: honest.seq + seq });
      assert.equal(fleet.step().assign.length, 0, JSON.stringify(lie));
      assert.equal(fleet.status?.waves?.[0]?.phase, 'Progressing');
    }
  });

  test('a new site joins the last wave, or gets the completed release at once', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(4));
    fleet.step();
    fleet.addSite('late-1');
    fleet.step();
    assert.equal(fleet.assigned().length, 1);
    settle(fleet);
    assert.equal(fleet.assigned().length, 5);
    fleet.addSite('late-2');
    const plan = fleet.step();
    assert.deepEqual(plan.assign, [{ site: 'late-2', wave: 'rest' }]);
    assert.equal(plan.status.phase, 'Completed');
    assert.equal(plan.status.sites?.progressing, 1);
  });

  test('with no site at all a rollout waits: the first one is its canary', () => {
    const fleet = new SimulatedFleet(canaryThenAll, []);
    assert.equal(fleet.step().status.phase, 'Progressing');
    assert.match(fleet.status?.message ?? '', /no site matches/);
    for (const name of shops(6)) fleet.addSite(name);
    fleet.step();
    assert.equal(fleet.assigned().length, 1);
  });

  test('going back to a release which most sites still run is told by their own reports', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    settle(fleet);
    fleet.startRelease('b');
    fleet.step();
    const [canary = ''] = fleet.assigned('b');
    fleet.answer(canary, 'Failed');
    assert.equal(fleet.step().status.phase, 'Paused');
    fleet.startRelease('a');
    fleet.step();
    assert.equal(fleet.assigned('a').length, 10);
    assert.equal(fleet.status?.waves?.[0]?.phase, 'Progressing', 'the old report of a does not count');
    fleet.answer(canary);
    fleet.step();
    assert.equal(fleet.status?.phase, 'Completed');
  });
});

describe('sites that are away', () => {
  test('never block a wave and are not counted as failed', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    for (const name of ['shop-2', 'shop-5', 'shop-9']) fleet.disconnect(name);
    settle(fleet);
    assert.equal(fleet.status?.phase, 'Completed');
    assert.equal(fleet.status?.sites?.away, 3);
    assert.equal(fleet.status?.sites?.running, 7);
    assert.equal(fleet.status?.message, 'runs at 7 of 10 sites; 3 away, to catch up on return');
    fleet.now += 400 * 24 * 60 * minute;
    fleet.connect('shop-5');
    fleet.step();
    assert.equal(fleet.status?.sites?.failed, 0, 'the deadline counts from its return');
    fleet.answer('shop-5');
    fleet.step();
    assert.equal(fleet.status?.sites?.running, 8);
  });

  test('when the canary goes silent, one that is in touch stands in for it', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    fleet.step();
    const [canary = ''] = fleet.assigned();
    fleet.disconnect(canary);
    const plan = fleet.step();
    assert.equal(plan.assign.length, 1);
    assert.deepEqual(phases(fleet), ['canary:Progressing:2', 'early:Waiting:3', 'rest:Waiting:5']);
    fleet.answer(plan.assign[0]?.site ?? '');
    fleet.step();
    assert.equal(fleet.status?.waves?.[0]?.phase, 'Passed');
  });

  test('a canary that goes silent during its soak proves nothing', () => {
    const fleet = new SimulatedFleet(
      {
        waves: [
          { name: 'canary', sites: 1, soak: '10m' },
          { name: 'rest', percent: 100 },
        ],
      },
      shops(3),
    );
    fleet.step();
    const [canary = ''] = fleet.assigned();
    fleet.answer(canary);
    fleet.now += minute;
    fleet.disconnect(canary);
    fleet.step();
    assert.equal(fleet.assigned().length, 2, 'a stand-in, not the rest');
    fleet.now += 20 * minute;
    fleet.connect(canary);
    fleet.step();
    assert.equal(fleet.status?.waves?.[0]?.phase, 'Progressing', 'the stand-in has not answered');
  });

  test('with nobody in touch a release is tried by the first to come back, not by all', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    for (const name of fleet.siteNames) fleet.disconnect(name);
    fleet.step();
    assert.equal(fleet.assigned().length, 1);
    assert.match(fleet.status?.message ?? '', /the first one to come back tries the release/);
    const returning = fleet.siteNames.find((name) => !fleet.assigned().includes(name)) ?? '';
    fleet.connect(returning);
    assert.deepEqual(fleet.step().assign, [{ site: returning, wave: 'canary' }]);
    fleet.answer(returning);
    settle(fleet);
    assert.equal(fleet.status?.phase, 'Completed');
    assert.equal(fleet.status?.sites?.away, 9);
  });

  test('after several releases they go straight to the newest', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(4));
    settle(fleet);
    fleet.disconnect('shop-3');
    for (const release of ['b', 'c', 'd']) {
      fleet.startRelease(release);
      settle(fleet);
    }
    assert.equal(fleet.rows.get('shop-3')?.release, 'd');
    assert.equal(fleet.status?.phase, 'Completed');
  });
});

describe('failing sites', () => {
  test('beyond the budget pause the rollout, name the site and its reason; recovery goes on by itself', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    fleet.step();
    const [canary = ''] = fleet.assigned();
    fleet.sync(canary);
    const report = fleet.makeReport(canary, 'Failed');
    assert.ok(report);
    fleet.deliver(canary, { ...report, reason: 'ImagePullFailed', message: 'no such image' });
    const plan = fleet.step();
    assert.equal(plan.status.phase, 'Paused');
    assert.equal(plan.status.conditions?.find((c) => c.type === 'Progressing')?.reason, 'BudgetExceeded');
    assert.match(
      plan.status.message ?? '',
      new RegExp(`1 site failed, the budget allows 0: ${canary} \\(ImagePullFailed: no such image\\)`),
    );
    assert.deepEqual(plan.failures, [{ site: canary, reason: 'ImagePullFailed', message: 'no such image' }]);
    fleet.now += 1000 * minute;
    assert.deepEqual(fleet.step().assign, []);
    fleet.answer(canary);
    assert.equal(fleet.step().status.phase, 'Progressing');
    assert.equal(fleet.assigned().length, 5);
  });

  test('within the budget do not stop it', () => {
    const fleet = new SimulatedFleet({ ...canaryThenAll, budget: { failed: '10%' } }, shops(10));
    fleet.step();
    const [canary = ''] = fleet.assigned();
    fleet.answer(canary, 'Failed');
    const plan = fleet.step();
    assert.equal(plan.assign.length, 1, 'another site tries it before more get it');
    settle(fleet);
    fleet.site(canary);
    assert.equal(fleet.status?.phase, 'Completed');
  });

  test('a site in touch that never answers has failed after the deadline, not before', () => {
    const fleet = new SimulatedFleet({ ...canaryThenAll, deadline: '5m' }, shops(3));
    const { wakeInSeconds } = fleet.step();
    assert.equal(wakeInSeconds, undefined);
    assert.equal(fleet.step().wakeInSeconds, 330);
    fleet.now += 329_000;
    assert.equal(fleet.step().status.phase, 'Progressing');
    fleet.now += 1000;
    const plan = fleet.step();
    assert.equal(plan.status.phase, 'Paused');
    assert.equal(plan.failures[0]?.reason, 'DeadlineExceeded');
  });

  test('a site without a variable is not given the release, and named', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(3));
    fleet.releaseVariables = ['city'];
    for (const name of shops(3)) fleet.site(name).variables.add('city');
    fleet.step();
    const [canary = ''] = fleet.assigned();
    const other = shops(3).find((name) => name !== canary) ?? '';
    fleet.site(other).variables.clear();
    fleet.step();
    assert.equal(fleet.status?.phase, 'Progressing', 'the budget counts it when its wave begins');
    assert.equal(fleet.status?.failures?.[0]?.site, other, 'people learn of it before');
    fleet.answer(canary);
    settle(fleet);
    assert.equal(fleet.status?.phase, 'Paused');
    assert.match(
      fleet.status?.message ?? '',
      new RegExp(`${other} \\(VariableUndefined: .* not define city`),
    );
    assert.ok(!fleet.assigned().includes(other));
    fleet.site(other).variables.add('city');
    settle(fleet);
    assert.equal(fleet.status?.phase, 'Completed');
  });

  test('a pause by a person holds back what is not out yet', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(4));
    fleet.step();
    fleet.isPaused = true;
    fleet.answer(fleet.assigned()[0] ?? '');
    const plan = fleet.step();
    assert.deepEqual([plan.status.phase, plan.assign, plan.join], ['Paused', [], []]);
    fleet.isPaused = false;
    settle(fleet);
    assert.equal(fleet.status?.phase, 'Completed');
  });
});
