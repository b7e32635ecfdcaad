import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DeliveryState, ItemReport, RolloutStrategy } from '@selvedge/api';
import fc from 'fast-check';
import { digestOf, SimulatedFleet } from './testing/simulated-fleet.ts';
import { planRollout } from './plan-rollout.ts';

const strategies: RolloutStrategy[] = [
  {},
  { waves: [{ name: 'all', percent: 100 }] },
  {
    waves: [
      { name: 'canary', sites: 1, soak: '5m' },
      { name: 'early', percent: 40, soak: '1m' },
      { name: 'rest', percent: 100 },
    ],
    budget: { failed: '20%' },
  },
];
const state = fc.oneof(
  { weight: 12, arbitrary: fc.constant<DeliveryState>('Running') },
  { weight: 4, arbitrary: fc.constantFrom<DeliveryState>('Preparing', 'Activating', 'Degraded') },
  { weight: 1, arbitrary: fc.constantFrom<DeliveryState>('Failed', 'Refused') },
);

const site = fc.nat(6);
const event = fc.oneof(
  weighted(4, { do: fc.constant('report' as const), site, state }),
  weighted(4, { do: fc.constant('deliver' as const), site, age: fc.nat(4) }),
  weighted(4, { do: fc.constant('sync' as const), site }),
  weighted(6, { do: fc.constant('answer' as const), site, state }),
  weighted(1, { do: fc.constant('disconnect' as const), site }),
  weighted(2, { do: fc.constant('connect' as const), site }),
  weighted(8, { do: fc.constant('step' as const), crashAfter: fc.constantFrom(0, 1, 2, 3, 3, 3, 3) }),
  weighted(4, { do: fc.constant('wait' as const), seconds: fc.nat(400) }),
  weighted(1, { do: fc.constant('add' as const), site: fc.integer({ min: 100, max: 103 }) }),
  weighted(1, { do: fc.constant('drop' as const), site }),
  weighted(1, { do: fc.constant('release' as const), release: fc.constantFrom('a', 'b', 'c') }),
  weighted(1, { do: fc.constant('pause' as const), isPaused: fc.constantFrom(true, false, false) }),
);
function weighted<T>(weight: number, model: { [K in keyof T]: fc.Arbitrary<T[K]> }) {
  return { weight, arbitrary: fc.record(model) as fc.Arbitrary<T> };
}
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

const world = fc.record({
  strategy: fc.constantFrom(...strategies),
  count: fc.integer({ min: 1, max: 8 }),
  events: fc.array(event, { minLength: 40, maxLength: 160, size: 'max' }),
});

/** A fleet, and every report that was ever made, to be delivered late, twice, or in the wrong order. */
class World {
  readonly fleet: SimulatedFleet;
  readonly mail: { site: string; report: ItemReport }[] = [];
  /** Epoch of an assignment → when the site truly began to run it, by its own account. */
  readonly ranEpochs = new Set<string>();

  constructor(strategy: RolloutStrategy, count: number) {
    this.fleet = new SimulatedFleet(
      strategy,
      Array.from({ length: count }, (_, index) => `site-${index}`),
    );
  }

  apply(e: Event): void {
    const { fleet } = this;
    const name = 'site' in e ? `site-${e.site}` : '';
    if (e.do === 'step') {
      this.stepAndCheck(e.crashAfter);
    } else if (e.do === 'wait') {
      fleet.now += e.seconds * 1000;
    } else if (e.do === 'release') {
      if (e.release !== fleet.release) fleet.startRelease(e.release);
    } else if (e.do === 'pause') {
      fleet.isPaused = e.isPaused;
    } else if (e.do === 'add') {
      if (!fleet.sites.has(name)) fleet.addSite(name, e.site % 2 === 0);
    } else if (fleet.sites.has(name)) {
      this.#applyToSite(e, name);
    }
  }

  #applyToSite(e: Event, name: string): void {
    const { fleet } = this;
    if (e.do === 'drop') {
      fleet.sites.delete(name);
      fleet.rows.delete(name);
    } else if (e.do === 'connect') fleet.connect(name);
    else if (e.do === 'disconnect') fleet.disconnect(name);
    else if (e.do === 'sync') fleet.sync(name);
    else if (e.do === 'answer') {
      fleet.sync(name);
      this.#applyToSite({ ...e, do: 'report' }, name);
      this.#applyToSite({ do: 'deliver', site: e.site, age: 0 }, name);
    } else if (e.do === 'report') {
      const report = fleet.makeReport(name, e.state);
      if (!report) return;
      if (e.state === 'Running') this.ranEpochs.add(`${name}/${report.epoch}/${report.digest}`);
      this.mail.push({ site: name, report });
    } else if (e.do === 'deliver') {
      const letters = this.mail.filter((letter) => letter.site === name);
      const letter = letters.at(-1 - e.age);
      if (letter && fleet.site(name).connectedSince !== undefined) fleet.deliver(name, letter.report);
    }
  }

  stepAndCheck(crashAfter: number): void {
    const { fleet } = this;
    const before = fleet.status;
    const plan = fleet.step(crashAfter);
    for (const wave of before?.waves ?? []) {
      if (wave.phase !== 'Passed') continue;
      const now = plan.status.waves?.find((w) => w.name === wave.name);
      assert.equal(now?.phase, 'Passed', `wave ${wave.name} went back`);
    }
    // A wave that passes now has a site which truly ran this release under the very assignment that stands.
    const tried = [...fleet.rows.values()].some(
      (row) =>
        row.digest === digestOf(fleet.release) &&
        this.ranEpochs.has(`${row.site}/${row.epoch}/${row.digest}`),
    );
    const passesNow = (plan.status.waves ?? []).filter(
      (w) => w.phase === 'Passed' && before?.waves?.find((b) => b.name === w.name)?.phase !== 'Passed',
    );
    if (passesNow.length > 0 && before?.phase !== 'Completed') {
      assert.ok(tried, `wave ${passesNow[0]?.name} passed and nobody has run the release`);
      for (const wave of passesNow)
        assert.equal(wave.pending, 0, 'a wave passed before all in touch had answered');
    }
    const counts = plan.status.sites;
    assert.ok(counts);
    const { wanted, running, progressing, failed, away, waiting } = counts;
    assert.equal(
      running + progressing + failed + away + waiting,
      wanted,
      'every site is in exactly one bucket',
    );
    assert.equal(wanted, fleet.sites.size);
  }
}

describe('whatever happens to reports, links and the hub', () => {
  test('no wave passes without truth, none goes back, and every site is counted once', () => {
    fc.assert(
      fc.property(world, ({ strategy, count, events }) => {
        const w = new World(strategy, count);
        for (const e of events) w.apply(e);
      }),
      { numRuns: 400 },
    );
  });

  test('a plan that was carried out leaves nothing to do', () => {
    fc.assert(
      fc.property(world, ({ strategy, count, events }) => {
        const w = new World(strategy, count);
        for (const e of events) w.apply(e);
        w.fleet.step();
        w.fleet.step();
        const again = planRollout(w.fleet.input);
        assert.deepEqual([again.join, again.assign], [[], []]);
        assert.deepEqual(again.status, w.fleet.status);
      }),
      { numRuns: 300 },
    );
  });

  test('in the end every site in touch runs the newest release, and the away ones hold nobody up', () => {
    fc.assert(
      fc.property(world, fc.array(site, { maxLength: 6 }), ({ strategy, count, events }, awayForGood) => {
        const w = new World(strategy, count);
        for (const e of events) w.apply(e);
        const { fleet } = w;
        fleet.isPaused = false;
        const dark = new Set(awayForGood.map((n) => `site-${n}`));
        for (const name of fleet.siteNames) {
          if (dark.has(name)) fleet.disconnect(name);
          else fleet.connect(name);
        }
        const inTouch = fleet.siteNames.filter((name) => !dark.has(name));
        fc.pre(inTouch.length > 0);
        for (let round = 0; round < 40; round++) {
          fleet.step();
          for (const name of inTouch) fleet.answer(name);
          fleet.now += 120_000;
        }
        if (fleet.status?.phase === 'Paused') {
          // A site that said Failed and then went dark has spoken: its failure stands, and may hold the rollout.
          const failures = fleet.status.failures ?? [];
          assert.ok(failures.length > 0 && failures.every((f) => dark.has(f.site)));
          return;
        }
        assert.equal(fleet.status?.phase, 'Completed');
        for (const name of inTouch) assert.equal(fleet.rows.get(name)?.digest, digestOf(fleet.release), name);
      }),
      { numRuns: 300 },
    );
  });
});
