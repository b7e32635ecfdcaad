import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isWorking } from './job.ts';
import { mostFailures } from './timings.ts';
import { taskAnswered } from './take-event.ts';
import { SimulatedMachine } from './testing/simulated-machine.ts';

const provision = { image: 'tiny', hostname: 'm1', instanceId: 'one' };

/** Everything behaves, but this task fails each time. @returns how often it was tried. */
function failAt(machine: SimulatedMachine, name: string): number {
  let tries = 0;
  for (let round = 0; round < 400; round++) {
    machine.comeUp();
    const { record, facts } = machine;
    const task = record.job?.task;
    if (task?.name === name && isWorking(record)) {
      tries += 1;
      const result = { status: 'failed', message: 'it broke' } as const;
      machine.record = taskAnswered(record, { task, result }, facts);
      assert.notEqual(machine.record.error, undefined);
    } else {
      machine.work(true);
    }
    if (tries > 0) assert.notEqual(machine.record.error, undefined, 'the error is gone between two tries');
    machine.pass(30);
  }
  return tries;
}

describe('what fails each time', () => {
  it('is tried so often, though the tasks before it succeed, and then waits for a person', () => {
    for (const name of ['seed', 'write']) {
      const machine = new SimulatedMachine({ order: { provision } });
      assert.equal(failAt(machine, name), mostFailures);
      assert.equal(machine.record.job?.isStuck, true);
      assert.equal(machine.record.error?.count, mostFailures);
      machine.request('retry');
      assert.ok(failAt(machine, name) > 0, 'a person asked to try again');
    }
  });

  it('is tried so often when it is an erase', () => {
    const machine = new SimulatedMachine({ order: { allocated: true } });
    machine.settle();
    machine.change({ allocated: false, erase: 'Secure', wipeConsent: true });
    assert.equal(failAt(machine, 'erase'), mostFailures);
    assert.equal(machine.record.error?.reason, 'EraseFailed');
  });

  it('is forgotten once that very task succeeds', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    for (let round = 0; round < 300 && machine.record.error === undefined; round++) {
      machine.askBmc('Does');
      machine.boot();
      machine.openSession();
      machine.work(machine.record.job?.task?.name !== 'write');
    }
    assert.equal(machine.record.error?.reason, 'DiskError');
    for (let round = 0; round < 300 && machine.record.job?.task?.name !== 'seed'; round++) machine.settle(1);
    assert.equal(machine.record.error, undefined);
    assert.equal(machine.record.job?.failures, 0);
  });

  it('is not written again and again where the image does not boot', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    for (let round = 0; round < 2000; round++) {
      machine.askBmc('Does');
      machine.boot();
      machine.openSession();
      machine.work(true);
      // Its disk does not boot: its firmware asks the network again.
      if (machine.running === 'Disk') machine.running = 'Firmware';
      machine.pass(30);
    }
    assert.equal(machine.record.error?.reason, 'ConfirmationFailed');
    assert.ok(machine.writes.length <= mostFailures, `written ${machine.writes.length} times`);
  });
});

/** Its system runs up to this task, at which the box restarts, again and again. @returns how often it was given the task. */
function restartAt(
  machine: SimulatedMachine,
  name: string,
  written: (round: number) => number = () => 0,
): number {
  let given = 0;
  for (let round = 0; round < 300; round++) {
    machine.comeUp();
    if (machine.record.job?.task?.name === name) {
      given += 1;
      if (name === 'write') machine.tellProgress(written(given));
      machine.pressButton();
    } else {
      machine.work(true);
    }
    machine.pass(30);
  }
  return given;
}

describe('a box that restarts in the middle of the same task each time', () => {
  for (const name of ['collect', 'test:memory', 'write', 'erase']) {
    it(`is given up after a few times, with an error that says so: ${name}`, () => {
      const machine = new SimulatedMachine({ order: { inspection: { tests: [] } } });
      if (name === 'collect' || name === 'test:memory') machine.change({ inspection: { tests: ['memory'] } });
      else machine.settle();
      if (name === 'write') machine.change({ provision });
      if (name === 'erase') {
        machine.change({ allocated: true });
        machine.change({ allocated: false, erase: 'Quick', wipeConsent: true });
      }
      const given = restartAt(machine, name);
      assert.ok(given > 1 && given <= mostFailures + 1, `given ${given} times`);
      assert.equal(machine.record.job?.isStuck, true);
      assert.match(machine.record.error?.message ?? '', /restarted \d times in the middle of/);
      machine.request('retry');
      machine.settle();
      assert.equal(machine.record.error, undefined);
    });
  }

  it('is given up too when it restarts in the middle of another task between', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    const given = { collect: 0, write: 0 };
    for (let round = 0; round < 300 && machine.record.job?.isStuck !== true; round++) {
      machine.comeUp();
      const name = machine.record.job?.task?.name;
      const isKnown = name === 'collect' || name === 'write';
      if (isKnown) given[name] += 1;
      // Each write, and each other inventory.
      if (name === 'write' || (name === 'collect' && given.collect % 2 === 1)) machine.pressButton();
      else machine.work(true);
      machine.pass(30);
    }
    assert.equal(machine.record.job?.isStuck, true);
    assert.match(machine.record.error?.message ?? '', /restarted \d times in the middle of "write"/);
    assert.ok(given.write <= mostFailures + 1, `given ${given.write} times`);
  });

  it('goes on as long as its write comes further each time', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    const given = restartAt(machine, 'write', (round) => round * 1000);
    assert.ok(given > 20, `given ${given} times`);
    assert.equal(machine.record.job?.isStuck, undefined);
  });
});

describe('a test that failed', () => {
  it('counts no more once it is no longer wanted', () => {
    const machine = new SimulatedMachine({ order: { inspection: { tests: ['memory'] } } });
    for (let round = 0; round < 30; round++) {
      machine.askBmc('Does');
      machine.boot();
      machine.openSession();
      machine.work(machine.record.job?.task?.name !== 'test:memory');
      machine.pass(5);
    }
    assert.equal(machine.record.error?.reason, 'TestFailed');
    machine.change({ inspection: { tests: [] } });
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
    assert.equal(machine.record.error, undefined);
  });
});
