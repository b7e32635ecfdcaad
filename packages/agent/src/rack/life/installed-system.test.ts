import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isWorking } from './job.ts';
import type { MachineRecord } from './machine-record.ts';
import { progressed } from './take-event.ts';
import { SimulatedMachine } from './testing/simulated-machine.ts';

const provision = { image: 'tiny', hostname: 'm1', instanceId: 'one' };

/** Written, seeded, sent to its disk; its system has not called yet. */
function awaitedMachine(): SimulatedMachine {
  const machine = new SimulatedMachine({ order: { provision } });
  for (let round = 0; round < 300 && machine.running !== 'Disk'; round++) {
    machine.askBmc('Does');
    machine.boot();
    machine.openSession();
    withSeed(machine);
    machine.work(true);
  }
  assert.equal(machine.record.job?.stage, 'Disk');
  return machine;
}

/** As the desk notes it when the seed is fetched. */
function withSeed(machine: SimulatedMachine): void {
  if (machine.record.job?.task?.name !== 'seed') return;
  machine.record = { ...machine.record, seed: { digest: 'sha256:00', isConfirmed: false } };
}

function settled(machine: SimulatedMachine): MachineRecord {
  machine.settle(120);
  assert.equal(machine.writes.length, 1, 'it was written again');
  return machine.record;
}

describe('a system that was installed', () => {
  it('counts when it calls while the machine is protected, and is not written over afterwards', () => {
    const machine = awaitedMachine();
    machine.change({ isProtected: true });
    machine.confirm();
    assert.equal(machine.record.phase, 'Provisioned');
    machine.change({ isProtected: false });
    assert.equal(settled(machine).phase, 'Provisioned');
  });

  it('is awaited further when protection ends before it calls', () => {
    const machine = awaitedMachine();
    machine.change({ isProtected: true });
    machine.change({ isProtected: false });
    assert.equal(machine.record.job?.stage, 'Disk');
    assert.equal(settled(machine).phase, 'Provisioned');
  });

  it('runs on when another image was wanted by mistake, though somebody allowed that it is written over', () => {
    const machine = new SimulatedMachine({ order: { provision, wipeConsent: true } });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    machine.isImageReady = false;
    machine.change({ provision: { ...provision, image: 'tinyy' } });
    machine.settle(5);
    assert.equal(machine.record.phase, 'Provisioning');
    machine.isImageReady = true;
    machine.change({ provision });
    assert.equal(settled(machine).phase, 'Provisioned');
    assert.equal(machine.running, 'Disk');
  });

  it('counts when it calls while the machine is marked broken', () => {
    const machine = awaitedMachine();
    machine.change({ broken: { reason: 'fan' } });
    machine.confirm();
    const { broken: _, ...order } = machine.order;
    machine.order = order;
    machine.change({});
    assert.equal(settled(machine).phase, 'Provisioned');
  });

  it('is not written over when its call is late or was lost; a person may have it written anew', () => {
    const machine = awaitedMachine();
    for (let round = 0; round < 100; round++) {
      machine.pass(600);
      machine.askBmc('Does');
    }
    assert.equal(machine.running, 'Disk', 'it was restarted');
    assert.equal(machine.record.error?.reason, 'ConfirmationFailed');
    const late = machine.record;
    machine.confirm();
    assert.equal(machine.record.phase, 'Provisioned');
    machine.record = late;
    machine.request('retry');
    machine.settle();
    assert.equal(machine.writes.length, 2);
    assert.equal(machine.record.phase, 'Provisioned');
  });
});

describe('a rescue', () => {
  it('is refused of a protected machine, and said once', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    machine.settle();
    machine.change({ isProtected: true });
    machine.change({ rescue: { authorizedKeys: ['ssh-ed25519 AAAA'] } });
    machine.pressButton();
    machine.settle(20);
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.record.wish, undefined);
    assert.equal(machine.running, 'Disk');
    const refused = machine.record.timeline.filter(({ reason }) => reason === 'RescueRefused');
    assert.equal(refused.length, 1);
  });

  it('is left also when the machine was protected meanwhile', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    machine.settle();
    machine.change({ rescue: { authorizedKeys: [] } });
    machine.pressButton();
    machine.settle(3);
    assert.equal(machine.running, 'System');
    machine.change({ isProtected: true });
    const { rescue: _, ...order } = machine.order;
    machine.order = order;
    machine.change({});
    machine.settle(10);
    assert.equal(machine.running, 'Disk');
  });

  it('opens its door again after the box was restarted', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    machine.settle();
    machine.change({ rescue: { authorizedKeys: [] } });
    machine.pressButton();
    machine.settle(3);
    machine.pressButton();
    machine.boot();
    machine.openSession();
    assert.equal(machine.record.job?.task?.name, 'rescue');
  });

  it('that is taken back before it began restarts nothing', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    machine.settle();
    machine.change({ rescue: { authorizedKeys: [] } });
    machine.askBmc('Hangs');
    const { rescue: _, ...order } = machine.order;
    machine.order = order;
    machine.change({});
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.record.job, undefined);
    assert.equal(machine.record.wish, undefined);
  });
});

it('a system that asks for the same piece for ever gives no sign of life', () => {
  const machine = new SimulatedMachine({ order: { provision } });
  for (let round = 0; round < 300 && machine.record.job?.task?.name !== 'write'; round++) {
    machine.askBmc('Does');
    machine.boot();
    machine.openSession();
    if (machine.record.job?.task?.name !== 'write') machine.work(true);
  }
  const tell = (done: number) => {
    assert.ok(isWorking(machine.record));
    machine.record = progressed(machine.record, { step: 'Writing', done, total: 100 }, machine.now);
  };
  for (let minute = 0; minute < 60; minute++) {
    machine.pass(60);
    if (machine.record.job?.task?.name !== 'write') break;
    tell(50);
  }
  assert.equal(machine.record.error?.reason, 'TimedOut');
});

describe('a machine that others installed', () => {
  it('is erased when it is given back, also when it was inspected as empty', () => {
    const machine = new SimulatedMachine({ order: { allocated: true } });
    machine.settle();
    assert.equal(machine.record.phase, 'Allocated');
    machine.disk = 'Foreign';
    machine.change({ allocated: false, erase: 'Secure', wipeConsent: true });
    machine.settle();
    assert.equal(machine.record.phase, 'Available');
    assert.equal(machine.disk, 'Blank');
    const external = new SimulatedMachine({ order: { allocated: false } });
    external.settle();
    assert.equal(external.record.disks, 'Blank');
    external.change({ isExternal: true });
    external.disk = 'Foreign';
    external.change({ isExternal: false, erase: 'Quick', wipeConsent: true });
    external.settle();
    assert.equal(external.disk, 'Blank');
  });

  it('runs on when it is said to be so a moment after it was accepted', () => {
    const machine = new SimulatedMachine();
    machine.running = 'Disk';
    machine.change({ isExternal: true });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.running, 'Disk');
  });
});
