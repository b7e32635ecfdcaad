import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RolloutStrategy } from '@selvedge/api';
import { digestOf, SimulatedFleet } from './testing/simulated-fleet.ts';

const shops = (count: number) => Array.from({ length: count }, (_, index) => `shop-${index + 1}`);
const crashes = { prepare: 'passes', run: 'crashes' } as const;
const becomesIll = { prepare: 'passes', run: 'never' } as const;
const well = { prepare: 'passes', run: 'healthy' } as const;
const waves: RolloutStrategy = {
  waves: [
    { name: 'canary', sites: 1 },
    { name: 'early', sites: 4 },
    { name: 'rest', percent: 100, soak: '1h' },
  ],
};

/** A fleet that runs `a`, approved, and is about to get `b`. */
function fleetAtA(strategy: RolloutStrategy, count: number): SimulatedFleet {
  const fleet = new SimulatedFleet({}, shops(count));
  fleet.settle();
  assert.equal(fleet.status?.phase, 'Completed');
  fleet.startRelease('b', strategy);
  return fleet;
}

describe('a breach', () => {
  test('of a canary that crashes condemns the release; it never reaches the others, and the canary is back', () => {
    const fleet = fleetAtA(waves, 6);
    fleet.setOutcome('b', crashes);
    fleet.step();
    const [canary = ''] = fleet.assigned('b');
    fleet.exchange(canary);
    assert.equal(fleet.site(canary).active, digestOf('a'), 'the site went back by itself');
    const plan = fleet.step();
    assert.equal(plan.verdict?.kind, 'Condemned');
    assert.equal(plan.status.breach?.reason, 'BudgetExceeded');
    assert.equal(plan.status.breach?.wave, 'canary');
    assert.match(
      plan.status.breach?.message ?? '',
      new RegExp(`1 site failed, the budget allows 0: ${canary} \\(Crashed`),
    );
    assert.deepEqual(
      plan.assign.map(({ site, release, terms }) => ({ site, release, activate: terms.activate })),
      [{ site: canary, release: 'a', activate: 'Now' }],
    );
    const end = fleet.settle();
    assert.equal(end.status.phase, 'Reverted');
    assert.match(end.status.message ?? '', /or lift b with `selvedge rollout lift b`/);
    assert.equal(fleet.running('a').length, 6);
    assert.deepEqual(
      fleet.site(canary).activations.map((a) => a.digest),
      ['a', 'b', 'a'].map(digestOf),
    );
  });

  test('takes the release back in reverse order, a wave when the later one is back', () => {
    const fleet = fleetAtA(waves, 8);
    fleet.settle();
    assert.equal(fleet.running('b').length, 8);
    const [ill = ''] = fleet.siteNames;
    const order: string[] = [];
    fleet.site(ill).rollBack(fleet.now);
    fleet.exchange(ill);
    for (let round = 0; round < 6; round++) {
      const plan = fleet.step();
      if (plan.assign.length === 0) break;
      assert.equal(plan.status.phase, 'Reverting');
      order.push(
        [...new Set(plan.assign.filter((a) => a.site !== ill).map((a) => fleet.members.get(a.site)))].join(),
      );
      for (const name of fleet.siteNames) fleet.exchange(name);
    }
    assert.deepEqual(
      order.filter((o) => o !== ''),
      ['rest', 'early', 'canary'].filter((w) =>
        fleet.siteNames.some((n) => n !== ill && fleet.members.get(n) === w),
      ),
    );
    const end = fleet.settle();
    assert.deepEqual(
      end.status.waves?.map((w) => w.phase),
      ['Reverted', 'Reverted', 'Reverted'],
    );
    assert.equal(
      end.status.waves?.reduce((sum, wave) => sum + wave.reverted, 0),
      8,
    );
    assert.equal(fleet.running('a').length, 8);
  });

  test('reverts no more sites at once than maxConcurrent; silent sites are told at once and not waited for', () => {
    const fleet = fleetAtA({ waves: [{ name: 'all', percent: 100, maxConcurrent: 2, soak: '1h' }] }, 6);
    fleet.settle();
    fleet.disconnect('shop-6');
    fleet.stop = 'Revert';
    const plan = fleet.step();
    assert.equal(plan.verdict?.kind === 'Condemned' && plan.verdict.reason, 'RevertedByPerson');
    assert.equal(plan.assign.length, 3);
    assert.ok(plan.assign.some((a) => a.site === 'shop-6'));
    assert.match(
      plan.status.message ?? '',
      /^a person took the release back: sites of wave all go back, waits for .*; 1 away go back on return$/,
    );
    const end = fleet.settle();
    assert.equal(end.status.phase, 'Reverted');
    assert.deepEqual(fleet.running('b'), ['shop-6']);
    fleet.connect('shop-6');
    assert.equal(fleet.step().status.phase, 'Reverted', 'it is over, whoever returns');
    fleet.settle();
    assert.equal(fleet.running('a').length, 6);
  });

  test('drops the release from the queues of those that have only prepared it', () => {
    const fleet = fleetAtA({ waves: [{ name: 'all', percent: 100 }], prepare: {}, budget: { failed: 0 } }, 4);
    fleet.setOutcome('b', { prepare: 'never', run: 'healthy' }, 'shop-1');
    fleet.settle();
    fleet.disconnect('shop-4');
    fleet.setOutcome('b', { prepare: 'fails', run: 'healthy' }, 'shop-1');
    fleet.exchange('shop-1');
    const plan = fleet.step();
    assert.equal(plan.status.phase, 'Reverting', 'until those in touch have said that they are back');
    assert.deepEqual(
      plan.assign.map((a) => a.release),
      ['a', 'a', 'a', 'a'],
    );
    fleet.connect('shop-4');
    fleet.settle();
    for (const name of fleet.siteNames) {
      assert.deepEqual(
        fleet.site(name).activations.map((a) => a.digest),
        [digestOf('a')],
        name,
      );
    }
  });

  test('with nothing to go back to stops the release where it is', () => {
    const fleet = new SimulatedFleet(waves, shops(4));
    fleet.setOutcome('a', crashes);
    fleet.settle();
    const canary = fleet.assigned('a');
    assert.equal(canary.length, 1);
    assert.equal(fleet.row(canary[0] ?? '').terms.activate, 'Hold');
    assert.equal(fleet.status?.phase, 'Reverted');
    fleet.startRelease('b');
    fleet.settle();
    assert.equal(fleet.running('b').length, 4);
  });

  test('of the budget of a wave counts too', () => {
    const fleet = fleetAtA(
      {
        waves: [
          { name: 'early', sites: 4, budget: { failed: '25%' } },
          { name: 'rest', percent: 100 },
        ],
        budget: { failed: 5 },
      },
      8,
    );
    fleet.step();
    const [one = '', two = ''] = fleet.assigned('b');
    fleet.setOutcome('b', crashes, one);
    fleet.exchange(one);
    assert.equal(fleet.step().status.phase, 'Progressing', '1 of 4 is within 25%');
    fleet.setOutcome('b', crashes, two);
    fleet.exchange(two);
    const plan = fleet.step();
    assert.equal(plan.status.breach?.wave, 'early');
    assert.match(plan.status.breach?.message ?? '', /2 sites failed, the budget of wave early allows 1/);
  });

  test('within the budget does not stop it', () => {
    const fleet = fleetAtA({ ...waves, budget: { failed: '10%' } }, 10);
    fleet.step();
    const [canary = ''] = fleet.assigned('b');
    fleet.setOutcome('b', crashes, canary);
    fleet.exchange(canary);
    assert.equal(fleet.step().assign.length, 1, 'another site tries it before more get it');
    fleet.settle();
    fleet.wait(3600);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    assert.deepEqual([fleet.running('b').length, fleet.running('a')], [9, [canary]]);
  });

  test('a crash of the hub between condemning and writing status is made good', () => {
    const fleet = fleetAtA(waves, 6);
    fleet.setOutcome('b', crashes);
    fleet.step();
    const [canary = ''] = fleet.assigned('b');
    fleet.exchange(canary);
    fleet.step(1);
    fleet.disconnect(canary);
    fleet.setOutcome('b', well);
    const plan = fleet.step();
    assert.equal(plan.status.phase, 'Reverted');
    assert.equal(plan.verdict, undefined, 'it is condemned already');
    assert.ok(plan.status.breach);
  });
});

describe('a breach with onBreach Pause', () => {
  test('stops and condemns nothing; recovery goes on by itself', () => {
    const fleet = fleetAtA({ ...waves, onBreach: 'Pause' }, 6);
    fleet.setOutcome('b', becomesIll);
    fleet.step();
    const [canary = ''] = fleet.assigned('b');
    fleet.exchange(canary);
    fleet.wait(700);
    fleet.exchange(canary);
    const plan = fleet.step();
    assert.deepEqual([plan.status.phase, plan.assign, plan.verdict], ['Paused', [], undefined]);
    assert.match(
      plan.status.message ?? '',
      /it goes on when they recover, or take it back with `selvedge rollout revert app`/,
    );
    fleet.wait(100_000);
    assert.deepEqual(fleet.step().assign, []);
  });

  test('goes on when a person widens the budget, from a wave that proved nothing when told so', () => {
    const fleet = fleetAtA(
      {
        waves: [
          { name: 'first', siteNames: ['shop-1'] },
          { name: 'rest', percent: 100 },
        ],
        onBreach: 'Pause',
      },
      3,
    );
    for (const name of ['shop-1', 'shop-2']) fleet.setOutcome('b', crashes, name);
    assert.equal(fleet.settle().status.phase, 'Paused');
    assert.deepEqual(fleet.assigned('b'), ['shop-1']);
    fleet.strategy = { ...fleet.strategy, budget: { failed: 2 } };
    assert.equal(fleet.settle().status.phase, 'Progressing');
    assert.deepEqual(fleet.assigned('b'), ['shop-1']);
    fleet.waivedWaves.add('first');
    assert.equal(fleet.settle().status.phase, 'Completed');
    assert.deepEqual(fleet.running('b'), ['shop-3']);
  });

  test('is told as it was found when the hub falls before it has written its status', () => {
    const fleet = fleetAtA({ waves: [{ name: 'all', percent: 100, maxConcurrent: 1 }] }, 3);
    fleet.setOutcome('b', crashes);
    fleet.step();
    for (const name of fleet.siteNames) fleet.exchange(name);
    const { verdict } = fleet.step(1);
    assert.ok(verdict?.kind === 'Condemned');
    const condemned = fleet.now;
    fleet.waitDeaf(60);
    fleet.setOutcome('b', { prepare: 'passes', run: 'healthy' });
    const { breach } = fleet.step().status;
    assert.deepEqual(
      [breach?.reason, breach?.message, breach?.time],
      [verdict.reason, verdict.message, new Date(condemned).toISOString()],
    );
    assert.match(breach?.message ?? '', /^1 site failed, the budget allows 0: shop-\d \(Crashed/);
  });

  test('a release that runs nowhere is never approved', () => {
    const fleet = fleetAtA({ waves: [{ name: 'all', percent: 100 }], budget: { failed: '100%' } }, 2);
    fleet.setOutcome('b', crashes);
    const plan = fleet.settle();
    assert.deepEqual([plan.status.phase, fleet.releases.get('b')?.isApproved], ['Progressing', false]);
    assert.match(
      plan.status.message ?? '',
      /of wave all 0 of at least 1 site proved the release, 0 away, 2 failed/,
    );
  });

  test('holds back what silent sites have in their queue, until it goes on', () => {
    const fleet = fleetAtA({ waves: [{ name: 'all', percent: 100 }], onBreach: 'Pause' }, 4);
    fleet.disconnect('shop-4');
    fleet.setOutcome('b', crashes, 'shop-1');
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Paused');
    assert.equal(fleet.row('shop-4').terms.activate, 'Hold');
    fleet.connect('shop-4');
    fleet.settle();
    assert.equal(fleet.site('shop-4').active, digestOf('a'));
    fleet.strategy = { ...fleet.strategy, budget: { failed: 1 } };
    fleet.settle();
    assert.equal(fleet.site('shop-4').active, digestOf('b'));
    assert.equal(fleet.status?.phase, 'Completed');
  });
});

describe('a site without the node groups of the release', () => {
  test('is not given it and named, and gets it once it has one of them', () => {
    const fleet = new SimulatedFleet(waves, shops(3));
    fleet.releaseNodeGroups = ['edge', 'region'];
    for (const name of shops(3)) fleet.site(name).nodeGroups.add(name === 'shop-1' ? 'region' : 'edge');
    fleet.step();
    const [canary = ''] = fleet.assigned();
    const other = shops(3).find((name) => name !== canary) ?? '';
    fleet.site(other).nodeGroups.clear();
    fleet.site(other).nodeGroups.add('office');
    const plan = fleet.settle();
    assert.equal(plan.status.phase, 'Paused');
    assert.equal(plan.verdict, undefined);
    const said = /NoNodeGroup: .* have none of edge, region: there is office/;
    assert.match(plan.status.message ?? '', said);
    assert.ok(!fleet.assigned().includes(other));
    fleet.site(other).nodeGroups.add('edge');
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
  });
});

describe('a site without a variable', () => {
  test('is not given the release and named; it pauses, and condemns nothing', () => {
    const fleet = new SimulatedFleet(waves, shops(3));
    fleet.releaseVariables = ['city'];
    for (const name of shops(3)) fleet.site(name).variables.add('city');
    fleet.step();
    const [canary = ''] = fleet.assigned();
    const other = shops(3).find((name) => name !== canary) ?? '';
    fleet.site(other).variables.clear();
    fleet.step();
    assert.equal(fleet.status?.phase, 'Progressing', 'the budget counts it when its wave begins');
    assert.equal(fleet.status?.failures?.[0]?.site, other, 'people learn of it before');
    const plan = fleet.settle();
    assert.equal(plan.status.phase, 'Paused');
    assert.equal(plan.verdict, undefined);
    assert.match(
      plan.status.message ?? '',
      new RegExp(`${other} \\(VariableUndefined: .* not define city\\); .* see to what these sites lack`),
    );
    assert.ok(!fleet.assigned().includes(other));
    fleet.site(other).variables.add('city');
    fleet.settle();
    assert.equal(fleet.running().length, 3);
  });
});

describe('a person', () => {
  test('pauses: what is not out stays in, what is not activated is held back; and lets it go on', () => {
    const fleet = fleetAtA({ waves: [{ name: 'all', percent: 100 }] }, 4);
    fleet.site('shop-1').windowOpen = false;
    fleet.disconnect('shop-2');
    fleet.settle();
    fleet.isPaused = true;
    fleet.addSite('shop-5');
    const plan = fleet.settle();
    assert.equal(plan.status.phase, 'Paused');
    assert.equal(plan.status.message, 'paused by a person: go on with `selvedge rollout resume app`');
    assert.equal(fleet.rows.get('shop-5'), undefined);
    fleet.connect('shop-2');
    fleet.site('shop-1').windowOpen = true;
    fleet.settle();
    assert.deepEqual(fleet.running('b').length, 2);
    fleet.isPaused = false;
    fleet.settle();
    assert.deepEqual(fleet.running('b').length, 5);
  });

  test('aborts: sites keep what they have, the others drop it; taking it away again goes on', () => {
    const fleet = fleetAtA({ waves: [{ name: 'all', percent: 100 }] }, 4);
    fleet.site('shop-1').windowOpen = false;
    fleet.settle();
    fleet.stop = 'Abort';
    const plan = fleet.settle();
    assert.equal(plan.status.phase, 'Aborted');
    assert.match(plan.status.message ?? '', /`selvedge rollout resume app`.*`selvedge rollout revert app`/);
    assert.equal(fleet.row('shop-1').release, 'a');
    assert.equal(fleet.running('b').length, 3);
    fleet.site('shop-1').windowOpen = true;
    fleet.stop = undefined;
    fleet.settle();
    assert.equal(fleet.running('b').length, 4);
    assert.equal(fleet.status?.phase, 'Completed');
  });

  test('aborts: what fails afterwards is not taken back without that person', () => {
    const fleet = fleetAtA({ waves: [{ name: 'all', percent: 100, soak: '1h' }] }, 4);
    fleet.settle();
    fleet.stop = 'Abort';
    fleet.site('shop-1').rollBack(fleet.now);
    const plan = fleet.settle();
    assert.deepEqual([plan.status.phase, plan.verdict, plan.assign], ['Aborted', undefined, []]);
    fleet.stop = undefined;
    assert.equal(fleet.step().verdict?.kind, 'Condemned', 'who lets it go on lets the budget count');
  });

  test('takes a completed release back, and may lift that', () => {
    const fleet = fleetAtA({}, 3);
    fleet.settle();
    assert.equal(fleet.status?.phase, 'Completed');
    fleet.stop = 'Revert';
    fleet.settle();
    assert.equal(fleet.running('a').length, 3);
    fleet.startRelease('b');
    const blocked = fleet.settle();
    assert.equal(blocked.status.phase, 'Blocked');
    assert.match(blocked.status.message ?? '', /lift it with `selvedge rollout lift b`/);
    assert.equal(fleet.running('a').length, 3);
    fleet.lift('b');
    fleet.startRelease('b');
    fleet.settle();
    assert.equal(fleet.running('b').length, 3);
  });
});
