import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MachineOrder } from '@selvedge/api';
import fc from 'fast-check';
import { planMachine, wakeTime } from './plan-machine.ts';
import type { MachineRecord } from './machine-record.ts';
import { reportMachine } from './report-machine.ts';
import { isWorking } from './job.ts';
import { resumed, taskAnswered } from './take-event.ts';
import { SimulatedMachine } from './testing/simulated-machine.ts';

const provision = { image: 'tiny', hostname: 'm1', instanceId: 'one' };

function report(machine: SimulatedMachine) {
  return reportMachine(machine.record, { order: machine.order, now: machine.now });
}

/** Inspected, and nobody's. */
function availableMachine(disk: SimulatedMachine['disk'] = 'Blank'): SimulatedMachine {
  const machine = new SimulatedMachine();
  machine.disk = disk;
  machine.settle();
  assert.equal(machine.record.phase, 'Available', JSON.stringify(report(machine)));
  return machine;
}

function provisionedMachine(): SimulatedMachine {
  const machine = availableMachine();
  machine.change({ provision });
  machine.settle();
  assert.equal(machine.record.phase, 'Provisioned', JSON.stringify(report(machine)));
  return machine;
}

describe('the planner of machines', () => {
  it('inspects an accepted machine by its BMC, and leaves it Available and off', () => {
    const machine = availableMachine();
    assert.equal(machine.running, 'Nothing');
    assert.equal(machine.record.disks, 'Blank');
    assert.equal(report(machine).status, 'OK');
    assert.equal(machine.record.power.state, 'Off');
  });

  it('does nothing to a machine that nobody accepted', () => {
    const machine = new SimulatedMachine({ order: { accepted: false } });
    machine.running = 'Firmware';
    machine.settle(5);
    assert.equal(machine.record.wish, undefined);
    assert.equal(report(machine).status, 'Waiting');
  });

  it('says by which order it leaves a machine alone, so that the hub knows that it was heard', () => {
    const machine = new SimulatedMachine({ order: { accepted: false } });
    assert.equal(report(machine).generation, machine.order.generation);
    machine.change({ power: 'On' });
    assert.equal(report(machine).generation, machine.order.generation);
    assert.equal(machine.record.job, undefined);
  });

  it('does not follow a hub that went back to an older order, until a person asks for it', () => {
    const machine = provisionedMachine();
    machine.change({ power: 'On' });
    const { provision: _, ...older } = machine.order;
    const restored = { ...older, erase: 'Quick' as const, wipeConsent: true };
    machine.order = { ...restored, generation: restored.generation - 1 };
    machine.plan();
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(report(machine).status, 'Waiting');
    assert.match(report(machine).waiting?.next ?? '', /went back to generation/);
    // The same number by another change is no newer order either.
    machine.change({});
    machine.crash();
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.writes.length, 1);
    assert.equal(machine.running, 'Disk');
    machine.order = { ...machine.order, requests: { retry: machine.now } };
    machine.plan();
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
    assert.equal(machine.record.isHeldBack, undefined);
  });

  it('provisions an empty disk without consent, and counts as Provisioned once the system said so', () => {
    const machine = provisionedMachine();
    assert.deepEqual(
      machine.writes.map(({ task }) => task),
      ['write'],
    );
    assert.equal(machine.record.provisioned?.device, 'sda');
    assert.notEqual(machine.record.provisioned?.confirmedTime, undefined);
    assert.equal(machine.record.written, undefined);
  });

  it('writes nothing over data of others until somebody allows it, then goes on by itself', () => {
    const machine = availableMachine('Foreign');
    machine.change({ provision });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioning');
    assert.equal(machine.record.error?.reason, 'ConsentMissing');
    assert.deepEqual(machine.writes, []);
    machine.change({ wipeConsent: true });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
  });

  it('writes another image over its own only with consent', () => {
    const machine = provisionedMachine();
    machine.change({ provision: { ...provision, instanceId: 'two' } });
    machine.settle();
    assert.equal(machine.record.error?.reason, 'ConsentMissing');
    assert.equal(machine.writes.length, 1);
    machine.change({ wipeConsent: true });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.record.provisioned?.instanceId, 'two');
  });

  it('is provisioned as before when its image is wanted again before anything was written', () => {
    const machine = provisionedMachine();
    machine.change({ provision: { ...provision, instanceId: 'two' } });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioning');
    machine.change({ provision });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.record.error, undefined);
    assert.equal(machine.writes.length, 1);
  });

  it('releases without erase by switching it off, and with erase after the disk was seen to be empty', () => {
    const machine = provisionedMachine();
    machine.change({ erase: 'None' });
    const { provision: _, ...bare } = machine.order;
    machine.order = bare;
    machine.change({});
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
    assert.equal(machine.running, 'Nothing');
    assert.equal(machine.disk, 'Ours');

    const erased = provisionedMachine();
    const { provision: __, ...nothing } = erased.order;
    erased.order = nothing;
    erased.change({ erase: 'Quick' });
    erased.settle();
    assert.equal(erased.record.error?.reason, 'ConsentMissing');
    erased.change({ wipeConsent: true });
    erased.settle();
    assert.equal(erased.record.phase, 'Available');
    assert.equal(erased.disk, 'Blank');
    assert.equal(erased.record.provisioned, undefined);
  });

  for (const disk of ['Blank', 'Foreign'] as const) {
    it(`goes on with the same write after power was lost in the middle (${disk} before)`, () => {
      const machine = availableMachine(disk);
      machine.change({ provision, wipeConsent: disk === 'Foreign' });
      for (let round = 0; round < 60 && machine.record.job?.task?.name !== 'write'; round++)
        machine.settle(1);
      machine.disk = 'Half';
      machine.losePower();
      machine.crash();
      machine.settle();
      assert.equal(machine.record.phase, 'Provisioned', JSON.stringify(report(machine)));
    });
  }

  it('tries other ways when the BMC says yes and nothing comes of it, then says so and waits', () => {
    const machine = new SimulatedMachine();
    const ways = new Set<string>();
    for (let round = 0; round < 100; round++) {
      const acts = machine.record.wish?.acts;
      if (acts !== undefined) ways.add(JSON.stringify(acts));
      machine.askBmc('Lies');
      machine.pass(60);
    }
    assert.equal(ways.size, 4);
    const { status, error, waiting } = report(machine);
    assert.equal(status, 'Error');
    assert.equal(error?.reason, 'PowerNotHonoured');
    assert.match(waiting?.next ?? '', /retryTime/);
    machine.request('retry');
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
  });

  it('has it turned off and on, whatever its BMC reads, when nothing came of two boots', () => {
    const machine = new SimulatedMachine();
    const kinds: (string | undefined)[] = [];
    for (let round = 0; round < 40 && kinds.length < 3; round++) {
      const kind = machine.record.wish?.acts.at(-1)?.kind;
      if (kind !== undefined) kinds.push(kind);
      if (kinds.length < 3) machine.askBmc('Lies');
      machine.pass(60);
    }
    assert.deepEqual(kinds, ['Boot', 'Boot', 'ForcedCycle']);
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
    assert.equal(machine.record.error, undefined);
  });

  it('pulls the plug of a box whose BMC cannot ask its system to end', () => {
    const machine = provisionedMachine();
    machine.change({ power: 'Off' });
    assert.deepEqual(machine.record.wish?.acts, [{ kind: 'GracefulOff' }]);
    machine.askBmc('Refuses');
    assert.deepEqual(machine.record.wish?.acts, [{ kind: 'Off' }]);
    machine.askBmc('Does');
    machine.readPower();
    assert.equal(machine.running, 'Nothing');
    assert.equal(report(machine).status, 'OK');
  });

  it('takes a box that comes by itself after it was given up', () => {
    const machine = new SimulatedMachine();
    for (let round = 0; round < 100; round++) {
      machine.askBmc('Lies');
      machine.pass(60);
    }
    machine.pressButton();
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
  });

  it('asks a person where there is no switch, and goes on when the box comes', () => {
    const machine = new SimulatedMachine({ hasBmc: false });
    machine.pass(10_000);
    assert.equal(report(machine).status, 'Waiting');
    assert.match(report(machine).waiting?.next ?? '', /button/);
    machine.pressButton();
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
  });

  it('touches nothing of a protected machine, whatever is wanted', () => {
    const machine = provisionedMachine();
    machine.change({
      isProtected: true,
      power: 'Off',
      wipeConsent: true,
      erase: 'Secure',
      provision: { ...provision, instanceId: 'two' },
    });
    machine.request('reboot');
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.running, 'Disk');
    assert.equal(machine.writes.length, 1);
  });

  it('leaves an imported machine as it runs', () => {
    const machine = new SimulatedMachine({ order: { isExternal: true, provision, wipeConsent: true } });
    machine.disk = 'Foreign';
    machine.running = 'Firmware';
    machine.settle(10);
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.running, 'Disk');
    assert.deepEqual(machine.writes, []);
  });

  it('leaves a machine that is provisioned by others while it is released, and says how to go on', () => {
    const machine = provisionedMachine();
    const { provision: _, ...order } = machine.order;
    machine.order = order;
    machine.change({ erase: 'Quick' });
    assert.equal(machine.record.phase, 'Releasing');
    machine.change({ isExternal: true });
    machine.settle(10);
    assert.equal(machine.record.phase, 'Releasing');
    const next = report(machine).waiting?.next ?? '';
    assert.match(next, /spec.externallyProvisioned/);
    assert.match(next, /spec.release.erase to None/);
    machine.running = 'Disk';
    machine.change({ erase: 'None' });
    machine.settle(10);
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.record.provisioned, undefined);
    assert.equal(machine.running, 'Disk');
    assert.equal(machine.record.wish, undefined);
    assert.equal(report(machine).status, 'OK');
  });

  it('goes to the rescue system and back to what ran', () => {
    const machine = provisionedMachine();
    machine.change({ rescue: { authorizedKeys: ['ssh-ed25519 AAAA'] } });
    machine.settle(20);
    assert.equal(machine.record.phase, 'Rescue');
    // It runs on its disk until somebody restarts it.
    machine.pressButton();
    machine.settle(20);
    assert.equal(report(machine).status, 'OK');
    assert.equal(machine.running, 'System');
    const { rescue: _, ...order } = machine.order;
    machine.order = order;
    machine.change({});
    machine.settle(20);
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.running, 'Disk');
  });

  it('boots a box anew at once when somebody asks for it, also while it is waited for', () => {
    const machine = new SimulatedMachine();
    machine.askBmc('Lies');
    const { wish } = machine.record;
    assert.equal(wish, undefined);
    machine.request('reboot');
    assert.deepEqual(machine.record.wish?.acts.at(-1), { kind: 'Boot' });
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
    assert.equal(machine.record.answered.reboot, machine.order.requests.reboot);
  });

  it('is not woken again and again for a box that was to ask again, was accepted and never came', () => {
    const machine = new SimulatedMachine({ hasBmc: false, order: { accepted: false } });
    machine.pressButton();
    machine.boot();
    assert.notEqual(machine.record.asksAgainUntil, undefined);
    machine.change({ accepted: true });
    assert.equal(wakeTime(machine.record), machine.record.asksAgainUntil);
    machine.pass(3600);
    assert.equal(wakeTime(machine.record), undefined);
    assert.match(report(machine).waiting?.next ?? '', /button/);
  });

  it('notices by itself that a system has gone which waited for something', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    for (let round = 0; round < 60 && machine.record.job?.task?.name !== 'write'; round++) machine.settle(1);
    const { record, facts } = machine;
    assert.ok(isWorking(record) && record.job.task !== undefined);
    machine.isImageReady = false;
    const result = { status: 'failed', reason: 'ImageUnavailable' } as const;
    machine.record = taskAnswered(record, { task: record.job.task, result }, facts);
    machine.pass(30);
    machine.takeInventory();
    machine.work(true);
    assert.equal(machine.record.job?.task, undefined, 'it waits for the image');
    assert.notEqual(wakeTime(machine.record), undefined);
    machine.pass(600);
    assert.equal(machine.record.session, undefined);
  });

  it('leaves a rescue by a restart also when the clock was put right meanwhile', () => {
    const machine = availableMachine();
    machine.change({ rescue: { authorizedKeys: [] } });
    machine.settle(5);
    assert.equal(machine.running, 'System');
    machine.correctClock(-7200);
    const { rescue: _, ...order } = machine.order;
    machine.order = order;
    machine.change({});
    machine.settle(5);
    assert.notEqual(machine.running, 'System');
  });

  it('gives up a boot although the system on the disk renews its address again and again', () => {
    const machine = new SimulatedMachine();
    machine.askBmc('Lies');
    const { step } = machine.record.job ?? {};
    assert.equal(step, 'AwaitingBoot');
    for (let minute = 0; minute < 12; minute++) {
      machine.pass(60);
      const lastSeen = { what: 'DHCP gave it 10.0.0.5', time: machine.now };
      machine.record = { ...machine.record, lastSeen };
    }
    assert.notEqual(machine.record.error, undefined);
  });

  it('waits for an image before it switches anything', () => {
    const machine = availableMachine();
    machine.isImageReady = false;
    machine.change({ provision });
    machine.settle(10);
    assert.equal(machine.running, 'Nothing');
    assert.equal(report(machine).status, 'Waiting');
    machine.isImageReady = true;
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
  });
});

const flags = fc.record(
  {
    accepted: fc.constantFrom(true, true, true, false),
    wipeConsent: fc.boolean(),
    isProtected: fc.boolean(),
    allocated: fc.boolean(),
    erase: fc.constantFrom('None' as const, 'Quick' as const, 'Secure' as const),
    isExternal: fc.constantFrom(undefined, undefined, undefined, true),
    provision: fc.constantFrom(
      undefined,
      provision,
      { ...provision, instanceId: 'two' },
      { ...provision, image: 'other' },
    ),
    rescue: fc.constantFrom(undefined, undefined, { authorizedKeys: [] }),
    broken: fc.constantFrom(undefined, undefined, { reason: 'fan' }),
    power: fc.constantFrom(undefined, 'On' as const, 'Off' as const),
    known: fc.constantFrom(undefined, { phase: 'Allocated' as const }, { phase: 'Provisioning' as const }),
  },
  { requiredKeys: [] },
);

const step = fc.oneof(
  {
    weight: 2,
    arbitrary: flags.map((parts) => (m: SimulatedMachine) => m.change(parts as Partial<MachineOrder>)),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('inspect' as const, 'reboot' as const, 'retry' as const)
      .map((name) => (m: SimulatedMachine) => m.request(name)),
  },
  {
    weight: 4,
    arbitrary: fc
      .constantFrom('Does' as const, 'Does' as const, 'Lies' as const, 'Refuses' as const, 'Hangs' as const)
      .map((outcome) => (m: SimulatedMachine) => m.askBmc(outcome)),
  },
  { weight: 4, arbitrary: fc.constant((m: SimulatedMachine) => m.boot()) },
  { weight: 4, arbitrary: fc.constant((m: SimulatedMachine) => m.openSession()) },
  { weight: 6, arbitrary: fc.boolean().map((isGood) => (m: SimulatedMachine) => m.work(isGood)) },
  { weight: 6, arbitrary: fc.constant((m: SimulatedMachine) => m.work(true)) },
  { weight: 3, arbitrary: fc.constant((m: SimulatedMachine) => m.takeTask()) },
  { weight: 3, arbitrary: fc.constant((m: SimulatedMachine) => m.goOn()) },
  { weight: 2, arbitrary: fc.boolean().map((isGood) => (m: SimulatedMachine) => m.endTask(isGood)) },
  { weight: 2, arbitrary: fc.constant((m: SimulatedMachine) => m.confirm()) },
  { weight: 1, arbitrary: fc.boolean().map((isWanted) => (m: SimulatedMachine) => m.setWanted(isWanted)) },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: -10_000, max: 10_000 })
      .map((seconds) => (m: SimulatedMachine) => m.correctClock(seconds)),
  },
  { weight: 2, arbitrary: fc.constant((m: SimulatedMachine) => m.readPower()) },
  { weight: 1, arbitrary: fc.constant((m: SimulatedMachine) => m.crash()) },
  { weight: 1, arbitrary: fc.constant((m: SimulatedMachine) => m.losePower()) },
  { weight: 1, arbitrary: fc.constant((m: SimulatedMachine) => m.pressButton()) },
  { weight: 2, arbitrary: fc.constant((m: SimulatedMachine) => m.installByOthers()) },
  { weight: 4, arbitrary: fc.nat(2000).map((seconds) => (m: SimulatedMachine) => m.pass(seconds)) },
);

function checkLaws(machine: SimulatedMachine): void {
  const { record, facts } = machine;
  assert.equal(planMachine(record, facts), record, 'planning again changes nothing');
  for (const { task, before, order, isWanted, isOverData, isRepeated } of machine.writes) {
    assert.notEqual(order.isProtected, true, 'a protected machine was written to');
    assert.notEqual(order.isExternal, true, 'a machine of others was written to');
    assert.ok(isWanted && order.accepted, 'a machine that nobody wants was written to');
    assert.equal(order.broken, undefined, 'a broken machine was written to');
    if (task === 'write') assert.notEqual(order.provision, undefined, 'written though nothing is wanted');
    else assert.notEqual(order.erase, 'None', 'erased though nobody wants it');
    assert.equal(isRepeated, false, 'written over what runs as it is wanted');
    const isConsented = order.wipeConsent;
    if (task === 'erase') assert.equal(isConsented, true, 'erased without consent');
    if (before === 'Foreign' || isOverData)
      assert.equal(isConsented, true, 'written over data without consent');
  }
  checkWaking(machine);
  const { status, error, waiting } = report(machine);
  if (status === 'OK') return;
  assert.ok(waiting !== undefined, `${status} without a word of what is waited for`);
  assert.notEqual(waiting?.next, '', `${status} without what comes next`);
  const { job, wish } = record;
  const isOutside =
    job === undefined ||
    job.isStuck === true ||
    job.personNext !== undefined ||
    job.stage === 'Prepare' ||
    wish !== undefined ||
    (job.stage === 'System' && record.session !== undefined);
  assert.ok(isOutside || wakeTime(record) !== undefined, `nothing wakes it: ${JSON.stringify(job)}`);
  if (job?.isStuck === true) assert.notEqual(error, undefined, 'given up without an error');
}

/** What is due was done, and a crash changes nothing of what comes next. */
function checkWaking({ record, facts, now }: SimulatedMachine): void {
  const wake = wakeTime(record);
  assert.ok(wake === undefined || wake > now, `due at ${wake} and not done: ${JSON.stringify(record.job)}`);
  // A box that was to ask again is not waited for any more, nor is a try that was put off.
  if (record.asksAgainUntil !== undefined || record.job?.retryAt !== undefined) return;
  const kept = JSON.parse(JSON.stringify(record)) as MachineRecord;
  const next = planMachine(resumed(kept, now), facts);
  const acts = ({ phase, job, wish }: MachineRecord) =>
    JSON.stringify({ phase, wish, stage: job?.stage, task: job?.task });
  assert.equal(acts(next), acts(record));
}

const beginnings: readonly ((machine: SimulatedMachine) => void)[] = [
  () => {},
  (machine) => beginTask(machine, 'write'),
  (machine) => {
    machine.change({ allocated: true });
    beginTask(machine, 'collect');
    machine.change({ inspection: { tests: [], isDisabled: true } });
    machine.change({ allocated: false, erase: 'Quick', wipeConsent: true });
    beginTask(machine, 'erase');
  },
  ...[{ isExternal: true as const }, { accepted: false }, { isProtected: true as const }].map(
    (parts) => (machine: SimulatedMachine) => {
      beginTask(machine, 'write');
      const { order } = machine;
      machine.change(parts);
      machine.installByOthers();
      machine.order = { ...order, generation: machine.order.generation };
      machine.change({ wipeConsent: false });
      machine.pressButton();
      machine.boot();
      machine.openSession();
    },
  ),
];

/** Its system has done some of the task. */
function beginTask(machine: SimulatedMachine, name: string): void {
  if (name === 'write') machine.change({ provision, wipeConsent: machine.disk === 'Foreign' });
  for (let round = 0; round < 40 && machine.record.job?.task?.name !== name; round++) {
    machine.askBmc('Does');
    if (machine.running === 'Nothing') machine.pressButton();
    machine.boot();
    machine.openSession();
    if (machine.record.job?.task?.name !== name) machine.work(true);
    machine.pass(30);
  }
  assert.equal(machine.record.job?.task?.name, name);
  machine.takeTask();
  machine.goOn();
}

describe('the planner of machines, whatever happens', () => {
  it('keeps the laws: legal phases, no write without consent, never stuck without a word', () => {
    fc.assert(
      fc.property(
        fc.record({
          disk: fc.constantFrom('Blank' as const, 'Foreign' as const),
          hasBmc: fc.boolean(),
          // Few random ways lead into the middle of what matters most.
          begin: fc.constantFrom(...beginnings),
        }),
        fc.array(step, { minLength: 10, maxLength: 120 }),
        ({ disk, hasBmc, begin }, steps) => {
          const machine = new SimulatedMachine({ hasBmc });
          machine.disk = disk;
          begin(machine);
          for (const act of steps) {
            act(machine);
            checkLaws(machine);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('comes to what is wanted once everything behaves again', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const machine = new SimulatedMachine();
        for (const act of steps) act(machine);
        const { rescue: _, broken: __, isProtected: ___, power: ____, ...rest } = machine.order;
        const { isExternal: _____, ...order } = rest;
        machine.order = order;
        machine.setWanted(true);
        const last = { ...provision, instanceId: 'last' };
        machine.change({ accepted: true, provision: last, wipeConsent: true, erase: 'None' });
        machine.request('retry');
        machine.settle(150);
        assert.equal(machine.record.phase, 'Provisioned', JSON.stringify(report(machine)));
        assert.equal(machine.record.provisioned?.instanceId, 'last');
        assert.equal(machine.disk, 'Ours');
      }),
      { numRuns: 200 },
    );
  });
});
