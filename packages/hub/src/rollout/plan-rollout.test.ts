import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DeliveryState, ItemReport } from '@selvedge/api';
import { digestOf, SimulatedFleet } from './testing/simulated-fleet.ts';

const canaryThenAll = {
  waves: [
    { name: 'canary', sites: 1 },
    { name: 'early', percent: 50 },
    { name: 'rest', percent: 100 },
  ],
};
const soaking = {
  waves: [
    { name: 'canary', sites: 1, soak: '10m' },
    { name: 'rest', percent: 100 },
  ],
};
const shops = (count: number) => Array.from({ length: count }, (_, index) => `shop-${index + 1}`);
const crashes = { prepare: 'passes', run: 'crashes' } as const;
const neverHealthy = { prepare: 'passes', run: 'never' } as const;
const neverPrepared = { prepare: 'never', run: 'healthy' } as const;
const minute = 60;

function phases(fleet: SimulatedFleet): string[] {
  return (fleet.status?.waves ?? []).map((wave) => `${wave.name}:${wave.phase}:${wave.sites}`);
}
function first(names: readonly string[]): string {
  const [name] = names;
  assert.ok(name !== undefined);
  return name;
}

describe('waves', () => {
  test('go out one after the other, each on healthy reports of this release', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    fleet.step();
    assert.deepEqual(phases(fleet), ['canary:Progressing:1', 'early:Waiting:4', 'rest:Waiting:5']);
    const canary = first(fleet.assigned());
    fleet.setOutcome('a', neverHealthy, canary);
    fleet.exchange(canary);
    assert.deepEqual(fleet.step().assign, []);
    fleet.setOutcome('a', { prepare: 'passes', run: 'healthy' }, canary);
    fleet.exchange(canary);
    fleet.step();
    assert.deepEqual(phases(fleet), ['canary:Passed:1', 'early:Progressing:4', 'rest:Waiting:5']);
    assert.equal(fleet.assigned().length, 5);
    assert.match(
      fleet.status?.message ?? '',
      /^wave early waits for shop-\d+, shop-\d+, shop-\d+ and 1 more$/,
    );
    const plan = fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    assert.equal(plan.status.message, 'runs at 10 of 10 sites');
    assert.deepEqual(fleet.status?.sites, {
      wanted: 10,
      running: 10,
      progressing: 0,
      prepared: 0,
      held: 0,
      failed: 0,
      away: 0,
      overdue: 0,
      waiting: 0,
    });
    assert.equal(fleet.status?.activation?.sites, 10);
    assert.equal(fleet.releases.get('a')?.isApproved, true);
  });

  test('soak from when the last site became healthy, and wake up when that is over', () => {
    const fleet = new SimulatedFleet(soaking, shops(3));
    fleet.step();
    const canary = first(fleet.assigned());
    fleet.exchange(canary);
    const plan = fleet.step();
    assert.equal(plan.status.waves?.[0]?.phase, 'Soaking');
    assert.equal(plan.wakeInSeconds, 600);
    assert.match(plan.status.message ?? '', /soaks until 2026-01-01T00:10:00/);
    fleet.wait(5 * minute);
    fleet.setOutcome('a', neverHealthy, canary);
    fleet.exchange(canary);
    assert.equal(fleet.step().status.waves?.[0]?.phase, 'Progressing', 'degraded');
    fleet.wait(minute);
    fleet.setOutcome('a', { prepare: 'passes', run: 'healthy' }, canary);
    fleet.exchange(canary);
    fleet.wait(9 * minute);
    assert.equal(fleet.step().status.waves?.[0]?.phase, 'Soaking');
    fleet.wait(minute);
    assert.equal(fleet.step().status.waves?.[0]?.phase, 'Passed');
    assert.equal(fleet.assigned().length, 3);
  });

  test('do not pass while a site of a wave before is ill', () => {
    const fleet = new SimulatedFleet({ ...canaryThenAll, deadline: '10m' }, shops(10));
    fleet.step();
    const canary = first(fleet.assigned());
    fleet.exchange(canary);
    fleet.step();
    fleet.setOutcome('a', neverHealthy, canary);
    const plan = fleet.settle();
    assert.deepEqual(phases(fleet), ['canary:Passed:1', 'early:Progressing:4', 'rest:Waiting:5']);
    assert.equal(plan.status.message, `wave early waits for ${canary} of a wave before, which fell ill`);
    fleet.setOutcome('a', { prepare: 'passes', run: 'healthy' }, canary);
    assert.equal(fleet.settle().status.phase, 'Completed');
  });

  test('a report of another epoch, digest or application is no evidence', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(4));
    fleet.step();
    const canary = first(fleet.assigned());
    fleet.fetch(canary);
    const honest = fleet.site(canary).report(fleet.now);
    assert.equal(honest?.state, 'Running');
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
    fleet.settle();
    assert.equal(fleet.assigned().length, 5);
    fleet.addSite('late-2');
    const plan = fleet.step();
    assert.deepEqual(
      plan.assign.map(({ site, wave, release }) => ({ site, wave, release })),
      [{ site: 'late-2', wave: 'rest', release: 'a' }],
    );
    assert.equal(plan.status.phase, 'Completed');
    fleet.setOutcome('a', crashes, 'late-2');
    const later = fleet.settle();
    assert.equal(later.status.phase, 'Completed', 'a later failure takes nothing back');
    assert.match(later.status.message ?? '', /1 failed; take it back with `selvedge rollout revert app`/);
  });

  test('with no site at all a rollout waits: the first one is its canary', () => {
    const fleet = new SimulatedFleet(canaryThenAll, []);
    assert.equal(fleet.step().status.phase, 'Progressing');
    assert.match(fleet.status?.message ?? '', /no site matches/);
    for (const name of shops(6)) fleet.addSite(name);
    fleet.step();
    assert.equal(fleet.assigned().length, 1);
  });

  test('draw the sites that they name or select, and the others make up the rest', () => {
    const fleet = new SimulatedFleet(
      {
        waves: [
          { name: 'lab', siteNames: ['shop-7', 'unknown'] },
          { name: 'north', siteSelector: { matchLabels: { region: 'north' } } },
          { name: 'half', percent: 50 },
          { name: 'rest', percent: 100 },
        ],
      },
      shops(10),
    );
    for (const name of ['shop-7', 'shop-8', 'shop-9']) fleet.site(name).labels['region'] = 'north';
    fleet.step();
    assert.deepEqual(phases(fleet), [
      'lab:Progressing:1',
      'north:Waiting:2',
      'half:Waiting:2',
      'rest:Waiting:5',
    ]);
    assert.deepEqual(fleet.assigned(), ['shop-7']);
    fleet.exchange('shop-7');
    fleet.step();
    assert.deepEqual(fleet.assigned().toSorted(), ['shop-7', 'shop-8', 'shop-9']);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
  });

  test('named sites are not replaced by others', () => {
    const lab = {
      waves: [
        { name: 'lab', siteNames: ['shop-2'] },
        { name: 'rest', percent: 100 },
      ],
    };
    const fleet = new SimulatedFleet(lab, shops(4));
    fleet.disconnect('shop-2');
    const plan = fleet.settle();
    assert.deepEqual(phases(fleet), ['lab:Progressing:1', 'rest:Waiting:3']);
    assert.match(plan.status.message ?? '', /`selvedge rollout promote app --skip-gates`/);
    fleet.waivedWaves.add('lab');
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
  });

  test('that select nobody wait for a person, unless the release is proved already', () => {
    const mistyped = {
      waves: [
        { name: 'canary', siteSelector: { matchLabels: { ring: 'canray' } } },
        { name: 'lab', siteNames: ['shop-2'] },
        { name: 'second', siteNames: ['shop-99'] },
        { name: 'rest', percent: 100 },
      ],
    };
    const fleet = new SimulatedFleet(mistyped, shops(4));
    const plan = fleet.settle();
    assert.deepEqual(fleet.assigned(), []);
    assert.match(plan.status.message ?? '', /^wave canary has no site, .*promote app --skip-gates`$/);
    fleet.waivedWaves.add('canary');
    assert.equal(fleet.settle().status.phase, 'Completed');
  });

  test('are not skipped when their sites leave in mid-soak', () => {
    const fleet = new SimulatedFleet(
      {
        waves: [
          { name: 'canary', siteNames: ['shop-1'], soak: '1h' },
          { name: 'rest', percent: 100 },
        ],
      },
      shops(4),
    );
    fleet.settle();
    fleet.sites.delete('shop-1');
    fleet.wait(2 * 60 * minute);
    assert.match(fleet.settle().status.message ?? '', /^wave canary has no site/);
    assert.deepEqual(fleet.assigned(), ['shop-1']);
  });

  test('whose sites all fail prove nothing, whatever the budget', () => {
    const fleet = new SimulatedFleet(
      {
        waves: [
          { name: 'canary', siteNames: ['shop-1', 'shop-2'] },
          { name: 'rest', percent: 100 },
        ],
        budget: { failed: 3 },
      },
      shops(6),
    );
    fleet.setOutcome('a', crashes);
    fleet.settle();
    assert.deepEqual(phases(fleet), ['canary:Progressing:2', 'rest:Waiting:4']);
    assert.equal(fleet.assigned().length, 2);
  });

  test('do not let a release that cuts the link go from one stand-in to the next', () => {
    const fleet = new SimulatedFleet(soaking, shops(10));
    for (let round = 0; round < 10; round++) {
      const plan = fleet.step();
      for (const { site } of plan.assign) {
        fleet.exchange(site);
        fleet.step();
        fleet.wait(1);
        fleet.disconnect(site);
      }
    }
    assert.equal(fleet.assigned().length, 2);
    assert.match(fleet.status?.message ?? '', /fell silent with the release, which may have cut the link/);
  });

  test('give on the place of a silent site only when it was taken out of its queue', () => {
    const fleet = new SimulatedFleet(
      { waves: [{ name: 'all', percent: 100, maxConcurrent: 1 }], deadline: '10m' },
      shops(3),
    );
    const activating = () =>
      fleet.assigned().filter((name) => fleet.row(name).terms.activate !== 'Hold').length;
    fleet.step();
    fleet.disconnect(first(fleet.assigned()));
    fleet.wait(9 * minute);
    fleet.step();
    assert.equal(activating(), 1);
    fleet.wait(2 * minute);
    const { assign } = fleet.step();
    assert.deepEqual(
      assign.map(({ terms }) => terms.activate),
      ['Hold', 'Window'],
    );
    assert.equal(activating(), 1);
  });

  test('that a person let begin stay so when their sites change', () => {
    const fleet = new SimulatedFleet(
      { waves: [{ name: 'all', percent: 100, approval: 'Manual', soak: '1h' }] },
      shops(1),
    );
    fleet.approvedWaves.add('all');
    fleet.settle();
    fleet.approvedWaves.clear();
    fleet.sites.delete('shop-1');
    fleet.addSite('shop-9');
    fleet.settle();
    assert.deepEqual(fleet.running(), ['shop-9']);
  });

  test('with manual approval wait for a person', () => {
    const fleet = new SimulatedFleet(
      {
        waves: [
          { name: 'canary', sites: 1 },
          { name: 'rest', percent: 100, approval: 'Manual' },
        ],
      },
      shops(4),
    );
    const plan = fleet.settle();
    assert.deepEqual(phases(fleet), ['canary:Passed:1', 'rest:AwaitingApproval:3']);
    assert.equal(
      plan.status.message,
      'wave rest (3 sites) waits for a person: let it begin with `selvedge rollout promote app`',
    );
    fleet.approvedWaves.add('rest');
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
  });

  test('work on no more sites at the same time than maxConcurrent says', () => {
    const fleet = new SimulatedFleet({ waves: [{ name: 'all', percent: 100, maxConcurrent: 2 }] }, shops(6));
    fleet.disconnect('shop-3');
    fleet.step();
    assert.equal(fleet.assigned().length, 2);
    fleet.exchange(first(fleet.assigned()));
    fleet.step();
    assert.equal(fleet.assigned().length, 3);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    assert.equal(fleet.assigned().length, 5, 'silent sites would all begin when they return');
    fleet.connect('shop-3');
    fleet.settle();
    assert.equal(fleet.status?.sites?.running, 6);
  });

  test('need as many proofs as minSample says; a site in touch stands in for a silent one', () => {
    const fleet = new SimulatedFleet(
      {
        waves: [
          { name: 'early', sites: 3, minSample: 3 },
          { name: 'rest', percent: 100 },
        ],
      },
      shops(10),
    );
    fleet.step();
    assert.equal(fleet.assigned().length, 3);
    fleet.disconnect(first(fleet.assigned()));
    fleet.step();
    assert.deepEqual(phases(fleet), ['early:Progressing:4', 'rest:Waiting:6']);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
  });

  test('a wave whose gates a person waived passes without soak and sample, failures still count', () => {
    const fleet = new SimulatedFleet(soaking, shops(3));
    fleet.settle();
    assert.deepEqual(phases(fleet), ['canary:Soaking:1', 'rest:Waiting:2']);
    fleet.waivedWaves.add('canary');
    fleet.step();
    assert.equal(fleet.status?.waves?.[0]?.phase, 'Passed');
  });
});

describe('sites that are away', () => {
  test('never block a wave and are not counted as failed', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    for (const name of ['shop-2', 'shop-5', 'shop-9']) fleet.disconnect(name);
    fleet.site('shop-9').isOverdue = true;
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    assert.deepEqual([fleet.status?.sites?.away, fleet.status?.sites?.overdue], [2, 1]);
    assert.equal(fleet.status?.message, 'runs at 7 of 10 sites; 3 away, to catch up on return');
    fleet.now += 400 * 24 * 3600_000;
    fleet.connect('shop-5');
    fleet.step();
    assert.equal(fleet.status?.sites?.failed, 0, 'the deadline counts from its return');
    fleet.exchange('shop-5');
    fleet.step();
    assert.equal(fleet.status?.sites?.running, 8);
  });

  test('when the canary goes silent, one that is in touch stands in for it', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    fleet.step();
    fleet.disconnect(first(fleet.assigned()));
    const plan = fleet.step();
    assert.equal(plan.assign.length, 1);
    assert.deepEqual(phases(fleet), ['canary:Progressing:2', 'early:Waiting:3', 'rest:Waiting:5']);
    fleet.exchange(plan.assign[0]?.site ?? '');
    fleet.step();
    assert.equal(fleet.status?.waves?.[0]?.phase, 'Passed');
  });

  test('a canary that goes silent during its soak proves nothing', () => {
    const fleet = new SimulatedFleet(soaking, shops(3));
    fleet.step();
    const canary = first(fleet.assigned());
    fleet.exchange(canary);
    fleet.wait(minute);
    fleet.disconnect(canary);
    fleet.step();
    assert.equal(fleet.assigned().length, 2, 'a stand-in, not the rest');
    fleet.wait(20 * minute);
    fleet.connect(canary);
    fleet.step();
    assert.equal(fleet.status?.waves?.[0]?.phase, 'Progressing', 'the stand-in has not answered');
  });

  test('with nobody in touch a release is tried by the first to come back, not by all', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(10));
    for (const name of fleet.siteNames) fleet.disconnect(name);
    fleet.step();
    assert.equal(fleet.assigned().length, 1);
    assert.match(fleet.status?.message ?? '', /the next one to answer goes on with it/);
    const returning = first(fleet.siteNames.filter((name) => !fleet.assigned().includes(name)));
    fleet.connect(returning);
    const { assign } = fleet.step();
    assert.deepEqual(
      assign.map(({ site, wave }) => ({ site, wave })),
      [{ site: returning, wave: 'canary' }],
    );
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    assert.equal(fleet.status?.sites?.away, 9);
  });

  test('held sites are a bucket of their own: nobody waits for them, one that is free stands in', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(4));
    fleet.step();
    const canary = first(fleet.assigned());
    fleet.site(canary).holdsItself = true;
    fleet.exchange(canary);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    assert.equal(fleet.status?.sites?.held, 1);
    assert.equal(fleet.site(canary).active, undefined);
    fleet.now += 999 * minute * 1000;
    assert.equal(fleet.step().status.sites?.failed, 0);
    fleet.site(canary).holdsItself = false;
    fleet.settle();
    assert.equal(fleet.status?.sites?.running, 4);
  });

  test('a site that does not follow this hub gets no order at all', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(4));
    fleet.site('shop-2').held = { reason: 'HubBehind', message: 'the hub was restored from a backup' };
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    assert.equal(fleet.status?.sites?.held, 1);
    assert.equal(fleet.rows.get('shop-2'), undefined);
  });

  test('what was adopted from a site, and is no Release here, stays until a newer rollout', () => {
    const fleet = new SimulatedFleet(canaryThenAll, shops(4));
    fleet.settle();
    fleet.now += 1000;
    fleet.rows.set('shop-2', {
      ...fleet.row('shop-2'),
      digest: 'sha256:gone',
      release: 'gone',
      rollout: '',
      assignedAt: new Date(fleet.now).toISOString(),
    });
    const plan = fleet.step();
    assert.deepEqual(plan.assign, []);
    assert.equal(plan.status.sites?.held, 1);
    fleet.startRelease('b');
    fleet.now += 1000;
    fleet.settle();
    assert.equal(fleet.row('shop-2').digest, digestOf('b'));
  });
});

describe('deadlines', () => {
  test('a site in touch that never answers has failed after the deadline, not before', () => {
    const fleet = new SimulatedFleet(
      { ...canaryThenAll, prepare: { deadline: '5m' }, onBreach: 'Pause' },
      shops(3),
    );
    fleet.step();
    assert.equal(fleet.step().wakeInSeconds, 330);
    fleet.wait(329);
    assert.equal(fleet.step().status.phase, 'Progressing');
    fleet.wait(1);
    const plan = fleet.step();
    assert.equal(plan.status.phase, 'Paused');
    assert.equal(plan.failures[0]?.reason, 'DeadlineExceeded');
  });

  test('do not run while a site waits for a window, a blackout or an instant', () => {
    const fleet = new SimulatedFleet({ ...canaryThenAll, deadline: '5m' }, shops(3));
    fleet.step();
    const canary = first(fleet.assigned());
    fleet.site(canary).windowOpen = false;
    fleet.exchange(canary);
    fleet.step();
    fleet.now += 100 * 24 * 3600_000;
    const plan = fleet.step();
    assert.equal(plan.status.phase, 'Progressing');
    assert.equal(plan.status.sites?.prepared, 1);
    assert.equal(plan.wakeInSeconds, undefined);
    assert.equal(plan.status.message, `wave canary waits for the activate window at ${canary}`);
  });

  test('after activation the time to become healthy counts, and only in touch', () => {
    const fleet = new SimulatedFleet({ ...canaryThenAll, deadline: '5m', onBreach: 'Pause' }, shops(1));
    fleet.setOutcome('a', neverHealthy);
    fleet.step();
    fleet.exchange('shop-1');
    fleet.disconnect('shop-1');
    fleet.now += 1000 * minute * 1000;
    assert.equal(fleet.step().status.sites?.away, 1);
    fleet.connect('shop-1');
    assert.equal(fleet.step().wakeInSeconds, 330);
    fleet.wait(330);
    assert.equal(
      fleet.step().failures[0]?.message,
      'did not become healthy within 300s in touch with the hub; it last said Activating',
    );
  });
});

describe('a site that tells of progress without end', () => {
  const once = {
    waves: [
      { name: 'first', sites: 1 },
      { name: 'rest', percent: 100 },
    ],
    prepare: { deadline: '10m' },
    deadline: '5m',
    onBreach: 'Revert' as const,
  };
  /** Says it anew every minute: since just now. */
  function renew(fleet: SimulatedFleet, over: Partial<ItemReport>, minutes: number): void {
    for (let count = 0; count < minutes; count++) {
      fleet.wait(minute);
      const name = first([...fleet.members.keys()]);
      fleet.connect(name);
      const now = new Date(fleet.now).toISOString();
      const { epoch, release, digest, applicationUid: uid } = fleet.row(name);
      const seq = (fleet.row(name).report?.seq ?? 0) + 1;
      const id = 'Application/shop/app';
      const said = { id, uid, epoch, release, digest, sinceTime: now, observedTime: now, seq };
      fleet.deliver(name, { ...said, state: 'Preparing', ...over });
      fleet.step();
    }
  }
  function started(): SimulatedFleet {
    const fleet = new SimulatedFleet(once, shops(4));
    fleet.step();
    fleet.step();
    return fleet;
  }

  test('has three times as long to prepare, then it cannot take the release, which condemns nothing', () => {
    const fleet = started();
    renew(fleet, {}, 29);
    assert.equal(fleet.status?.phase, 'Progressing');
    renew(fleet, {}, 4);
    assert.equal(fleet.status?.phase, 'Paused');
    assert.equal(fleet.status?.failures?.[0]?.reason, 'PrepareDeadlineExceeded');
    assert.equal(fleet.isCondemned(digestOf('a')), false);
  });

  test('is not waited for without end while it activates, whatever it says that it waits for', () => {
    const fleet = started();
    const waiting = { reason: 'DownloadWindow' } as const;
    renew(fleet, { state: 'Activating', waiting }, 44);
    assert.equal(fleet.status?.phase, 'Progressing');
    renew(fleet, { state: 'Degraded', waiting }, 4);
    assert.notEqual(fleet.status?.phase, 'Progressing');
  });

  test('has all the time when it waits for a window in between', () => {
    const fleet = started();
    for (let night = 0; night < 10; night++) {
      renew(fleet, { waiting: { reason: 'DownloadWindow' } }, 60);
      renew(fleet, {}, 20);
    }
    assert.equal(fleet.status?.phase, 'Progressing');
  });

  test('does not hold up a wave whose gates a person waived', () => {
    const fleet = started();
    renew(fleet, {}, 2);
    fleet.waivedWaves.add('first');
    fleet.step();
    assert.equal(fleet.status?.waves?.[0]?.phase, 'Passed');
  });

  test('a full disk or a slow link pauses and condemns nothing; a failure after activation does', () => {
    for (const reason of ['InsufficientSpace', 'PrepareDeadlineExceeded']) {
      const fleet = started();
      renew(fleet, { state: 'Failed', reason }, 1);
      assert.equal(fleet.status?.phase, 'Paused');
      assert.match(fleet.status?.message ?? '', /no fault of the release/);
      assert.equal(fleet.isCondemned(digestOf('a')), false);
      const tried = started();
      renew(tried, { state: 'Failed', reason, activatedTime: '2026-01-01T00:00:30.000Z' }, 1);
      assert.equal(tried.isCondemned(digestOf('a')), true);
    }
  });

  test('what only the site lacks pauses and condemns nothing, before and after the release ran there', () => {
    const ran = { activatedTime: '2026-01-01T00:00:30.000Z' };
    for (const reason of [
      'VariableUndefined',
      'SecretMissing',
      'NotRendered',
      'OverrideInvalid',
      'NoNodeGroup',
    ]) {
      for (const report of [
        { state: 'Refused', reason },
        { state: 'Refused', reason, ...ran },
        // The site took it for not healthy in the end.
        { state: 'Failed', reason, wentBack: 'Unhealthy', ...ran },
      ] as const) {
        const fleet = started();
        renew(fleet, report, 1);
        assert.equal(fleet.status?.phase, 'Paused', JSON.stringify(report));
        assert.match(fleet.status?.message ?? '', /no fault of the release/);
        assert.equal(fleet.isCondemned(digestOf('a')), false);
      }
      const late = started();
      renew(late, { state: 'Activating', reason, ...ran }, 60);
      assert.equal(late.status?.phase, 'Paused', reason);
      assert.equal(late.status?.failures?.[0]?.reason, reason);
    }
    const faulty = started();
    renew(faulty, { state: 'Refused', reason: 'Unsupported' }, 1);
    assert.equal(faulty.isCondemned(digestOf('a')), true);
  });
});

describe('prepare, then activate', () => {
  const together = { waves: [{ name: 'all', percent: 100 }], prepare: { threshold: '75%', deadline: '1h' } };

  test('nobody activates before the threshold is prepared, then all may', () => {
    const fleet = new SimulatedFleet(together, shops(4));
    for (const name of ['shop-1', 'shop-2']) fleet.setOutcome('a', neverPrepared, name);
    const plan = fleet.settle();
    assert.deepEqual([plan.status.waves?.[0]?.phase, fleet.running().length], ['Preparing', 0]);
    assert.equal(
      plan.status.message,
      'wave all prepares: 2 of at least 3 sites ready, waits for shop-1, shop-2',
    );
    assert.equal(plan.status.waves?.[0]?.activateTime, undefined);
    fleet.setOutcome('a', { prepare: 'passes', run: 'healthy' }, 'shop-1');
    fleet.settle();
    assert.equal(fleet.running().length, 3);
    assert.ok(fleet.status?.waves?.[0]?.activateTime);
    assert.equal(fleet.row('shop-2').terms.activate, 'Window', 'it prepares and goes on');
  });

  test('a waived threshold lets those activate that can', () => {
    const fleet = new SimulatedFleet(together, shops(4));
    fleet.setOutcome('a', neverPrepared);
    fleet.setOutcome('a', { prepare: 'passes', run: 'healthy' }, 'shop-1');
    fleet.settle();
    assert.equal(fleet.running().length, 0);
    fleet.waivedWaves.add('all');
    fleet.settle();
    assert.deepEqual(fleet.running(), ['shop-1']);
  });

  test('silent and held sites do not hold up the threshold', () => {
    const fleet = new SimulatedFleet({ ...together, prepare: {} }, shops(4));
    fleet.disconnect('shop-1');
    fleet.site('shop-2').holdsItself = true;
    fleet.settle();
    assert.deepEqual(fleet.running(), ['shop-3', 'shop-4']);
  });

  test('at an instant prepared sites switch by themselves, link or no link', () => {
    const at = '2026-01-01T03:00:00Z';
    const fleet = new SimulatedFleet({ ...together, activate: { when: 'At', at } }, shops(4));
    const plan = fleet.settle();
    assert.deepEqual(fleet.row('shop-1').terms, {
      activate: 'At',
      activateAt: at,
      attempt: 1,
      prepareSeconds: 3600,
    });
    assert.equal(plan.status.waves?.[0]?.activateTime, new Date(at).toISOString());
    assert.match(plan.status.message ?? '', /wave all waits for the instant 2026-01-01T03:00:00Z at shop-/);
    for (const name of fleet.siteNames) fleet.disconnect(name);
    fleet.wait(3 * 3600 - 1);
    assert.equal(fleet.running().length, 0);
    fleet.wait(1);
    assert.equal(fleet.running().length, 4);
    for (const name of fleet.siteNames) fleet.connect(name);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    assert.deepEqual(fleet.status?.activation, {
      firstTime: '2026-01-01T03:00:00.000Z',
      lastTime: '2026-01-01T03:00:00.000Z',
      sites: 4,
    });
  });

  test('an instant that is moved reaches those that have not switched yet', () => {
    const fleet = new SimulatedFleet(
      { waves: together.waves, activate: { when: 'At', at: '2026-01-01T03:00:00Z' } },
      shops(2),
    );
    fleet.settle();
    fleet.strategy = { waves: together.waves, activate: { when: 'At', at: '2026-01-02T03:00:00Z' } };
    fleet.settle();
    fleet.wait(4 * 3600);
    assert.equal(fleet.running().length, 0);
    fleet.wait(24 * 3600);
    assert.equal(fleet.running().length, 2);
  });
});

describe('what a site says last', () => {
  test('every state of a site in touch has its bucket', () => {
    const cases: [DeliveryState, string][] = [
      ['Preparing', 'progressing'],
      ['Prepared', 'prepared'],
      ['Activating', 'progressing'],
      ['Running', 'running'],
      ['Degraded', 'progressing'],
      ['Failed', 'failed'],
      ['Refused', 'failed'],
    ];
    for (const [state, bucket] of cases) {
      const fleet = new SimulatedFleet({ onBreach: 'Pause' }, shops(1));
      fleet.step();
      fleet.fetch('shop-1');
      const report = fleet.site('shop-1').report(fleet.now);
      assert.ok(report);
      fleet.deliver('shop-1', { ...report, state });
      const counts: Record<string, number> = { ...fleet.step().status.sites };
      assert.equal(counts[bucket], 1, state);
    }
  });
});

describe('a hub that did not listen', () => {
  test('condemns nobody by its clock: a site fails when it spoke after the deadline', () => {
    const fleet = new SimulatedFleet({ ...canaryThenAll, deadline: '10m' }, shops(3));
    fleet.step();
    const canary = first(fleet.assigned());
    fleet.setOutcome('a', neverHealthy, canary);
    fleet.exchange(canary);
    fleet.step();
    fleet.setOutcome('a', { prepare: 'passes', run: 'healthy' }, canary);
    fleet.waitDeaf(60 * minute);
    const plan = fleet.step();
    assert.deepEqual([plan.status.phase, plan.failures], ['Progressing', []]);
    assert.equal(plan.wakeInSeconds, 10, 'looks again until the site has spoken');
    assert.equal(fleet.settle().status.phase, 'Completed');
  });

  test('passes no soak by its clock', () => {
    const fleet = new SimulatedFleet(soaking, shops(3));
    fleet.step();
    const canary = first(fleet.assigned());
    fleet.exchange(canary);
    fleet.step();
    fleet.waitDeaf(5 * minute);
    fleet.setOutcome('a', neverHealthy, canary);
    fleet.waitDeaf(60 * minute);
    assert.deepEqual(fleet.step().assign, []);
    assert.match(fleet.status?.message ?? '', /^wave canary has soaked and waits to hear of its sites/);
    fleet.exchange(canary);
    assert.equal(fleet.step().status.waves?.[0]?.phase, 'Progressing');
    assert.equal(fleet.assigned().length, 1);
  });
});
