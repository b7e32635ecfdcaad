import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SimulatedMachine } from './testing/simulated-machine.ts';

const provision = { image: 'tiny', hostname: 'm1', instanceId: 'one' };

/** It was inspected and told to go off, and its BMC has not been read since. */
function goingOff(): SimulatedMachine {
  const machine = new SimulatedMachine({});
  for (let round = 0; round < 60 && machine.record.phase !== 'Available'; round++) {
    machine.askBmc('Does');
    machine.boot();
    machine.openSession();
    machine.work(true);
    machine.pass(30);
  }
  assert.equal(machine.record.settlesOff, true);
  return machine;
}

describe('a machine that is to go off', () => {
  it('is left on when an image was put on it meanwhile', () => {
    const machine = goingOff();
    machine.change({ provision });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.record.power.state, 'On');
    assert.equal(machine.record.wish, undefined);
  });

  it('is left on when it is said meanwhile that others installed it', () => {
    const machine = goingOff();
    machine.pressButton();
    machine.change({ isExternal: true });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.record.power.state, 'On');
  });

  it('goes off although somebody takes it before it is', () => {
    const machine = goingOff();
    machine.pressButton();
    machine.change({ allocated: true });
    machine.settle();
    assert.equal(machine.record.power.state, 'Off');
  });
});
