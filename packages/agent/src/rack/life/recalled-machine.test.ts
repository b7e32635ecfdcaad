import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MachineOrder } from '@selvedge/api';
import { newRecord } from './machine-record.ts';
import { reportMachine } from './report-machine.ts';
import { SimulatedMachine } from './testing/simulated-machine.ts';

const provision = { image: 'tiny', hostname: 'm1', instanceId: 'one' };

/** The record of a machine is lost; the order says what the hub last heard. */
function forget(machine: SimulatedMachine, known: MachineOrder['known']): void {
  machine.order = { ...machine.order, ...(known && { known }) };
  machine.record = newRecord(machine.order.uid, machine.now);
  machine.plan();
}

function provisionedMachine(): SimulatedMachine {
  const machine = new SimulatedMachine({ order: { provision, wipeConsent: true } });
  machine.settle();
  assert.equal(machine.record.phase, 'Provisioned');
  return machine;
}

/** What runs on it says nothing more. */
function runOn(machine: SimulatedMachine): void {
  for (let round = 0; round < 60; round++) {
    machine.comeUp();
    machine.work(true);
    machine.pass(30);
  }
}

describe('a machine of which the rack lost the record', () => {
  it('runs on when the hub last heard that it is provisioned, whoever allowed that its disk is written over', () => {
    const machine = provisionedMachine();
    machine.change({ requests: { reboot: machine.now, retry: machine.now, inspect: machine.now } });
    machine.settle();
    const { provisioned } = machine.record;
    assert.ok(provisioned?.confirmedTime !== undefined);
    forget(machine, { phase: 'Provisioned', provisioned });
    runOn(machine);
    assert.equal(machine.record.phase, 'Provisioned');
    assert.deepEqual(machine.record.provisioned, provisioned);
    assert.equal(machine.record.wish, undefined);
    assert.ok(!machine.record.timeline.some(({ reason }) => reason === 'PowerOrdered'));
    assert.equal(machine.running, 'Disk');
    assert.equal(machine.writes.length, 1);
    // What is wanted from now on is done.
    machine.change({ provision: { ...provision, instanceId: 'two' } });
    machine.settle();
    assert.equal(machine.record.provisioned?.instanceId, 'two');
  });

  it('is left alone when it was being installed, until a person has looked', () => {
    for (const isWritten of [true, false]) {
      const machine = provisionedMachine();
      const { confirmedTime: _, ...provisioned } = machine.record.provisioned ?? assert.fail();
      forget(machine, { phase: 'Provisioning', ...(isWritten ? { provisioned } : {}) });
      machine.crash();
      runOn(machine);
      const report = reportMachine(machine.record, { order: machine.order, now: machine.now });
      assert.equal(report.phase, 'Provisioning');
      assert.equal(report.status, 'Waiting');
      assert.match(report.waiting?.next ?? '', /retryTime/);
      assert.equal(machine.running, 'Disk');
      assert.equal(machine.writes.length, 1);
      machine.request('retry');
      machine.pressButton();
      machine.settle();
      assert.equal(machine.record.phase, 'Provisioned');
      assert.equal(machine.writes.length, 2);
    }
  });

  it('stays with who has it', () => {
    const machine = new SimulatedMachine({ order: { allocated: true } });
    machine.settle();
    machine.running = 'Disk';
    forget(machine, { phase: 'Allocated' });
    assert.equal(machine.record.phase, 'Allocated');
    assert.equal(machine.record.wish, undefined);
  });

  it('stays broken when it is marked so, and comes back to what ran', () => {
    const machine = provisionedMachine();
    const { provisioned } = machine.record;
    machine.change({ broken: { reason: 'fan' } });
    forget(machine, { phase: 'Provisioned', ...(provisioned && { provisioned }) });
    assert.equal(machine.record.phase, 'Broken');
    const { broken: _, ...order } = machine.order;
    machine.order = order;
    machine.change({});
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.writes.length, 1);
  });

  it('is not looked up at the hub while the rack has its own record', () => {
    const machine = new SimulatedMachine();
    machine.settle();
    machine.change({ known: { phase: 'Allocated' } });
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
  });
});

describe('a machine that was another one at the hub', () => {
  it('is neither released nor switched off while it was being installed or released', () => {
    for (const phase of ['Provisioning', 'Releasing'] as const) {
      const machine = provisionedMachine();
      const { provision: _, ...order } = machine.order;
      machine.order = { ...order, erase: 'Quick' };
      machine.record = { ...machine.record, phase, isAdopted: true };
      machine.plan();
      runOn(machine);
      assert.equal(machine.record.phase, phase);
      assert.equal(machine.running, 'Disk');
      const report = reportMachine(machine.record, { order: machine.order, now: machine.now });
      assert.equal(report.status, 'Waiting');
      machine.request('retry');
      machine.settle();
      assert.equal(machine.record.phase, 'Available');
    }
  });
});
