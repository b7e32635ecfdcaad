import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Activation, type DesiredItem, type ReleaseName, windowState } from '@selvedge/api';
import fc from 'fast-check';
import { SimulatedSite, type SimulatedOutcome } from './testing/simulated-site.ts';

const releases: readonly ReleaseName[] = ['a', 'b', 'c', 'd'].map((name) => ({
  release: name,
  digest: `sha256:${name}`,
}));
const outcomes: readonly SimulatedOutcome[] = [
  'runs',
  'runs',
  'fails',
  'hangs',
  'never prepared',
  'cannot be prepared',
];
/** Open every other hour. */
const policy = {
  timeZone: 'Europe/Berlin',
  activateWindows: [{ schedule: '0 */2 * * *', durationSeconds: 3600 }],
  downloadWindows: [{ schedule: '30 */2 * * *', durationSeconds: 3600 }],
};

type Step =
  | {
      kind: 'assign';
      release: number;
      activate: Activation;
      inSeconds: number;
      isNewAttempt: boolean;
      hasFallback: boolean;
    }
  | { kind: 'outcome'; release: number; outcome: SimulatedOutcome }
  | { kind: 'content'; release: number; isHere: boolean }
  | { kind: 'look' }
  | { kind: 'settle' }
  | { kind: 'pass'; seconds: number }
  | { kind: 'restart'; offSeconds: number }
  | { kind: 'clock'; seconds: number }
  | { kind: 'hold'; isHeld: boolean }
  | { kind: 'contact'; isInContact: boolean }
  | { kind: 'windows'; hasWindows: boolean }
  | { kind: 'rollBack' };

const index = fc.nat({ max: releases.length - 1 });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('assign' as const),
      release: index,
      activate: fc.constantFrom<Activation>('Hold', 'Window', 'Now', 'At'),
      inSeconds: fc.integer({ min: -100, max: 4000 }),
      isNewAttempt: fc.boolean(),
      hasFallback: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('outcome' as const),
      release: index,
      outcome: fc.constantFrom(...outcomes),
    }),
  },
  fc.record({ kind: fc.constant('content' as const), release: index, isHere: fc.boolean() }),
  { weight: 4, arbitrary: fc.constant({ kind: 'look' as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'settle' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), seconds: fc.integer({ min: 1, max: 9000 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('restart' as const),
      offSeconds: fc.integer({ min: 0, max: 9000 }),
    }),
  },
  fc.record({ kind: fc.constant('clock' as const), seconds: fc.integer({ min: -500, max: 500 }) }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('hold' as const), isHeld: fc.boolean() }) },
  fc.record({ kind: fc.constant('contact' as const), isInContact: fc.boolean() }),
  fc.record({ kind: fc.constant('windows' as const), hasWindows: fc.boolean() }),
  fc.constant({ kind: 'rollBack' as const }),
);

class Play {
  readonly site = new SimulatedSite();
  #epoch = 0;
  #attempt = 1;
  #target: DesiredItem | undefined;
  #proven: ReleaseName | undefined;
  #hadActive = false;
  #hadServing = false;
  #seen = 0;

  run(step: Step): void {
    const { site } = this;
    switch (step.kind) {
      case 'assign':
        this.#assign(step);
        break;
      case 'outcome':
        site.outcomes.set(this.#digest(step.release), step.outcome);
        break;
      case 'content':
        if (step.isHere) site.missing.delete(this.#digest(step.release));
        // What runs, or may run again, is kept on this machine.
        else if (!this.#isNeeded(this.#digest(step.release))) site.missing.add(this.#digest(step.release));
        site.decide();
        break;
      case 'look':
        site.step();
        break;
      case 'settle':
        site.settle();
        break;
      case 'pass':
        site.pass(step.seconds);
        break;
      case 'restart':
        site.restart({ offSeconds: step.offSeconds });
        break;
      case 'clock':
        site.correctClock(step.seconds);
        break;
      case 'hold':
        site.hold = step.isHeld ? { reason: 'SiteHold', message: 'held' } : undefined;
        site.decide();
        break;
      case 'contact':
        site.isInContact = step.isInContact;
        site.decide();
        break;
      case 'windows':
        site.policy = step.hasWindows ? policy : { timeZone: 'UTC' };
        site.decide();
        break;
      case 'rollBack':
        site.rollBack();
        break;
    }
    this.#check();
  }

  #assign(step: Extract<Step, { kind: 'assign' }>): void {
    const { site } = this;
    this.#epoch += 1;
    if (step.isNewAttempt) this.#attempt += 1;
    const { report } = site;
    if (report?.state === 'Running') this.#proven = { release: report.release, digest: report.digest };
    this.#target = {
      id: 'Application/shop/till',
      uid: 'uid',
      epoch: this.#epoch,
      ...(releases[step.release] as ReleaseName),
      deadlineSeconds: 300,
      terms: {
        activate: step.activate,
        ...(step.activate === 'At' ? { activateAt: site.timeIn(step.inSeconds) } : {}),
        attempt: this.#attempt,
        prepareSeconds: 1200,
        ...(step.hasFallback && this.#proven !== undefined ? { fallback: this.#proven } : {}),
      },
    };
    site.assign(this.#target);
  }

  #digest(release: number): string {
    return (releases[release] as ReleaseName).digest;
  }

  #isNeeded(digest: string): boolean {
    const { active, goods } = this.site.memory;
    return digest === active?.digest || goods.some((good) => good.digest === digest);
  }

  #check(): void {
    const { site } = this;
    const { memory, driverHas, report } = site;
    if (this.#hadActive) assert.ok(memory.active, 'there is always an active release once there was one');
    if (this.#hadServing) assert.ok(site.serving, 'something always runs once something ran');
    this.#hadActive ||= memory.active !== undefined;
    this.#hadServing ||= site.serving !== undefined;
    if (memory.active !== undefined) {
      assert.ok(driverHas, 'the driver is never left without an order');
      assert.equal(driverHas.mayActivate, driverHas.digest === memory.active.digest, 'only what is active');
    }
    for (; this.#seen < site.activations.length; this.#seen++) this.#checkActivation();
    assert.ok(memory.goods.length <= 2 && memory.verdicts.length <= 6, 'memories stay small');
    if (report !== undefined && this.#target !== undefined && report.epoch === this.#target.epoch) {
      assert.equal(report.digest, this.#target.digest);
      assert.equal(report.runningDigest === undefined, site.serving === undefined && true);
      if (report.wentBack !== undefined) assert.notEqual(memory.active?.digest, report.digest);
    }
    const before = JSON.stringify([memory, driverHas, report?.state]);
    site.decide();
    const after = JSON.stringify([site.memory, site.driverHas, site.report?.state]);
    assert.equal(after, before, 'deciding again changes nothing');
  }

  #checkActivation(): void {
    const { site } = this;
    const { target, time, isHeld, isForbidden } = site.activations[
      this.#seen
    ] as (typeof site.activations)[0];
    assert.ok(!isHeld, 'a hold is never broken');
    assert.ok(!isForbidden, 'what failed here is not tried again');
    const { activate, activateAt } = target.terms;
    assert.notEqual(activate, 'Hold');
    if (activate === 'At') assert.ok(time.getTime() >= Date.parse(activateAt as string), 'never early');
    if (activate === 'Window') assert.ok(windowState(site.policy, 'activate', time).isOpen, 'in a window');
  }

  /** All is well from now on: what is wanted runs, or what it is answered with is true. */
  end(): void {
    const { site } = this;
    const target = this.#target;
    if (target === undefined) return;
    for (const { digest } of releases) site.outcomes.set(digest, 'runs');
    site.missing.clear();
    site.hold = undefined;
    site.isInContact = true;
    site.settle();
    site.pass(3 * 3600);
    const { report } = site;
    assert.equal(report?.epoch, target.epoch);
    if (report.wentBack !== undefined || report.state === 'Failed') {
      assert.notEqual(site.serving, target.digest);
      assert.ok(site.memory.verdicts.some(({ digest }) => digest === target.digest));
    } else if (target.terms.activate === 'Hold' && site.memory.active?.digest !== target.digest) {
      assert.equal(report.state, 'Prepared');
    } else {
      assert.equal(report.state, 'Running');
      assert.equal(site.serving, target.digest);
    }
  }
}

const assignment = (release: number, activate: Activation): Step => ({
  kind: 'assign',
  release,
  activate,
  inSeconds: 0,
  isNewAttempt: false,
  hasFallback: false,
});

const lostAndCannotBePrepared: Step[] = [
  assignment(0, 'Now'),
  { kind: 'look' },
  { kind: 'restart', offSeconds: 0 },
  assignment(1, 'Hold'),
  { kind: 'outcome', release: 0, outcome: 'cannot be prepared' },
  { kind: 'look' },
  { kind: 'settle' },
];

const restartedBeforeTheNextIsHere: Step[] = [
  assignment(0, 'Now'),
  { kind: 'content', release: 1, isHere: false },
  { kind: 'look' },
  assignment(1, 'Hold'),
  { kind: 'look' },
  { kind: 'restart', offSeconds: 0 },
];

test('whatever happens in whatever order, the laws of a site hold', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { minLength: 1, maxLength: 40 }), (steps) => {
      const play = new Play();
      for (const step of steps) play.run(step);
      play.end();
    }),
    {
      numRuns: 500,
      examples: [
        // What is active was lost and cannot be prepared again, while another release is only to be prepared.
        [lostAndCannotBePrepared],
        // What is active began to run after the hub was last told of the item.
        [restartedBeforeTheNextIsHere],
      ],
    },
  );
});
