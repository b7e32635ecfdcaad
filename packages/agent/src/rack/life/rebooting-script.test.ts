import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ScriptMetadata } from '@selvedge/api';
import { SimulatedMachine } from './testing/simulated-machine.ts';

/** A machine whose site has one script. */
function withScript(mayReboot: boolean, timeoutSeconds = 600): SimulatedMachine {
  const machine = new SimulatedMachine();
  const metadata: ScriptMetadata = {
    name: 'firmware',
    type: 'Commissioning',
    hardwareType: 'Node',
    parallel: 'Disabled',
    timeoutSeconds,
    tags: [],
    forHardware: [],
    mayReboot,
  };
  machine.scripts = [{ name: 'firmware', digest: `sha256:${'0'.repeat(64)}`, metadata }];
  return machine;
}

/** The box restarts at its script so often before it ends. @returns what the script was told each time. */
function runScript(restarts: number, mayReboot: boolean): { machine: SimulatedMachine; told: boolean[] } {
  const machine = withScript(mayReboot);
  const told: boolean[] = [];
  for (let round = 0; round < 80 && machine.record.job?.isStuck !== true; round++) {
    machine.comeUp();
    const task = machine.record.job?.task?.task;
    if (task?.task === 'script' && told.length <= restarts) {
      told.push(task.hasStarted);
      if (told.length <= restarts) machine.pressButton();
      else machine.work(true);
    } else {
      machine.work(true);
    }
    machine.pass(10);
  }
  return { machine, told };
}

test('a script that may restart the box does so several times, and learns that it was begun', () => {
  const { machine, told } = runScript(4, true);
  assert.deepEqual(told, [false, true, true, true, true]);
  assert.equal(machine.record.phase, 'Available');
  assert.equal(machine.record.error, undefined);
});

test('one that restarts it for ever is given up', () => {
  const { machine, told } = runScript(1000, true);
  assert.ok(told.length < 20, `given ${told.length} times`);
  assert.equal(machine.record.error?.reason, 'InspectionFailed');
});

test('where a script may not restart the box, the second time is an error', () => {
  const { machine, told } = runScript(1000, false);
  assert.ok(told.length <= 6, `given ${told.length} times`);
  assert.match(machine.record.error?.message ?? '', /restarted 2 times in the middle of "script:firmware"/);
});

/** Its system is told to run the script. */
function beginScript(machine: SimulatedMachine): void {
  const isThere = () => machine.record.job?.task?.name === 'script:firmware';
  for (let round = 0; round < 80 && !isThere(); round++) {
    machine.askBmc('Does');
    machine.boot();
    machine.openSession();
    if (!isThere()) machine.work(true);
    machine.pass(10);
  }
  assert.ok(isThere());
}

test('a box that changes its firmware is not restarted in the middle of it, as long as the script may take', () => {
  const machine = withScript(true, 7200);
  beginScript(machine);
  machine.losePower();
  for (let seconds = 0; seconds < 7200; seconds += 60) {
    machine.pass(60);
    assert.equal(machine.record.wish, undefined, `after ${seconds} s`);
    assert.equal(machine.record.error, undefined);
  }
  machine.pass(1000);
  assert.equal(machine.record.error?.reason, 'TimedOut');
});

for (const mayReboot of [true, false]) {
  test(`a script at which its box fell silent learns that it was begun (may_reboot: ${mayReboot})`, () => {
    const machine = withScript(mayReboot);
    beginScript(machine);
    machine.losePower();
    machine.pass(2000);
    assert.equal(machine.record.error?.reason, 'TimedOut');
    machine.pass(60);
    beginScript(machine);
    const task = machine.record.job?.task?.task;
    assert.ok(task?.task === 'script' && task.hasStarted);
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
    assert.equal(machine.record.error, undefined);
  });
}
