import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StorageDisk } from '@selvedge/api';
import { isWorking } from './job.ts';
import { reportMachine } from './report-machine.ts';
import { taskAnswered } from './take-event.ts';
import { sampleDisk } from './testing/sample-order.ts';
import { SimulatedMachine } from './testing/simulated-machine.ts';

const provision = { image: 'tiny', hostname: 'm1', instanceId: 'one' };

/** The image is half on the first of its disks when its power is lost; it comes back with others to be seen. */
function cutWrite(before: readonly StorageDisk[], after: readonly StorageDisk[]): SimulatedMachine {
  const machine = new SimulatedMachine({ order: { provision } });
  machine.disks = before;
  for (let round = 0; round < 60 && machine.record.job?.task?.name !== 'write'; round++) machine.settle(1);
  assert.equal(machine.record.job?.task?.name, 'write');
  machine.losePower();
  machine.disks = after;
  // It is noticed, and the box is brought to the system again.
  for (let round = 0; round < 200 && machine.writes.length === 0; round++) {
    if (machine.record.error?.reason === 'ConsentMissing') break;
    machine.settle(1);
  }
  return machine;
}

const begun = (disk: StorageDisk) => ({ ...disk, signature: 'gpt' });
const foreign = (disk: StorageDisk) => ({ ...disk, signature: 'xfs' });

describe('the disk that an image was begun to be written to', () => {
  it('is gone on with after the power was lost, under another kernel name', () => {
    const disk = sampleDisk({ serial: 'A' });
    const other = sampleDisk({ id: 'sdb', serial: 'B', size: 20_000_000_000 });
    const after = [begun({ ...disk, id: 'sdb' }), { ...other, id: 'sda' }];
    const machine = cutWrite([disk, other], after);
    assert.equal(machine.record.error, undefined, machine.record.error?.message);
    assert.equal(machine.record.written?.disk.id, 'sdb');
  });

  it('is not another one of the same size and serial number, that holds data', () => {
    const one = sampleDisk({ id: 'sda', serial: '0123456789' });
    const two = sampleDisk({ id: 'sdb', serial: '0123456789' });
    const swapped = [foreign({ ...two, id: 'sda' }), begun({ ...one, id: 'sdb' })];
    const machine = cutWrite([one, foreign(two)], swapped);
    assert.equal(machine.record.error?.reason, 'ConsentMissing');
    assert.deepEqual(machine.writes, []);
  });

  it('is not the twin that is left when it itself was taken out', () => {
    const one = { ...sampleDisk({ serial: '0123456789' }), device_path: 'usb-1' };
    const two = { ...sampleDisk({ id: 'sdb', serial: '0123456789' }), device_path: 'usb-2' };
    const machine = cutWrite([one, foreign(two)], [foreign({ ...two, id: 'sda' })]);
    assert.equal(machine.record.error?.reason, 'ConsentMissing');
  });

  it('is not known again where it has neither serial number nor WWN', () => {
    const machine = cutWrite([sampleDisk()], [foreign(sampleDisk())]);
    assert.equal(machine.record.error?.reason, 'ConsentMissing');
    assert.deepEqual(machine.writes, []);
  });

  it('is told from its twins by its WWN', () => {
    const one = { ...sampleDisk({ serial: 'X' }), wwn: '0x5000c500a0000001' };
    const two = { ...sampleDisk({ id: 'sdb', serial: 'X' }), wwn: '0x5000c500a0000002' };
    const same = cutWrite([one, two], [begun(one), two]);
    assert.equal(same.record.error, undefined, same.record.error?.message);
    const swapped = cutWrite(
      [one, foreign(two)],
      [foreign({ ...two, id: 'sda' }), begun({ ...one, id: 'sdb' })],
    );
    assert.equal(swapped.record.error?.reason, 'ConsentMissing');
  });
});

/** Its system has just been told to write, with consent, over what is there. */
function toldToWrite(disk: 'Foreign' | 'Blank' = 'Foreign'): SimulatedMachine {
  const machine = new SimulatedMachine({ order: { provision, wipeConsent: true } });
  machine.disk = disk;
  for (let round = 0; round < 300 && machine.record.job?.task?.name !== 'write'; round++) {
    machine.askBmc('Does');
    machine.boot();
    machine.openSession();
    if (machine.record.job?.task?.name !== 'write') machine.work(true);
  }
  assert.equal(machine.record.job?.task?.name, 'write');
  machine.takeTask();
  return machine;
}

describe('consent that is taken back', () => {
  it('no longer counts where nothing was written yet', () => {
    const machine = toldToWrite();
    const { record, facts } = machine;
    assert.ok(isWorking(record) && record.job.task !== undefined);
    const result = { status: 'failed', reason: 'ImageUnavailable' } as const;
    machine.record = taskAnswered(record, { task: record.job.task, result }, facts);
    machine.change({ wipeConsent: false });
    machine.settle();
    assert.equal(machine.record.error?.reason, 'ConsentMissing');
    assert.deepEqual(machine.writes, []);
  });

  it('ends a write that is going on over data, also over a crash, until it is allowed again', () => {
    const machine = toldToWrite();
    machine.tellProgress(2_000_000);
    machine.disk = 'Half';
    machine.change({ wipeConsent: false });
    assert.equal(machine.tellProgress(3_000_000), false, 'the box was told to go on');
    machine.crash();
    machine.settle();
    assert.equal(machine.writes.length, 0);
    assert.equal(machine.record.phase, 'Provisioning');
    const { reason, message } = machine.record.error ?? {};
    assert.equal(reason, 'ConsentMissing');
    assert.match(message ?? '', /was begun to be written over data on sda/);
    assert.doesNotMatch(message ?? '', /nothing was written/);
    const stopped = machine.record.timeline.filter((moment) => moment.reason === 'WorkStopped');
    assert.equal(stopped.length, 1);
    machine.change({ wipeConsent: true });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    assert.equal(machine.record.written, undefined);
  });

  it('does not end a write over an empty disk, which never needed it', () => {
    const machine = toldToWrite('Blank');
    machine.tellProgress(2_000_000);
    machine.disk = 'Half';
    machine.change({ wipeConsent: false });
    assert.equal(machine.tellProgress(3_000_000), true);
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
  });

  it('keeps the seed away too, which would go over what is left', () => {
    const machine = toldToWrite();
    machine.work(true);
    assert.equal(machine.record.job?.task?.name, 'seed');
    machine.change({ wipeConsent: false });
    assert.equal(machine.record.job?.task, undefined);
    assert.equal(machine.record.error?.reason, 'ConsentMissing');
  });

  it('ends an erase that is going on', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    machine.settle();
    assert.equal(machine.record.phase, 'Provisioned');
    const { provision: _, ...bare } = machine.order;
    machine.order = bare;
    machine.change({ erase: 'Secure', wipeConsent: true });
    for (let round = 0; round < 300 && machine.record.job?.task?.name !== 'erase'; round++) {
      machine.askBmc('Does');
      machine.boot();
      machine.openSession();
      if (machine.record.job?.task?.name !== 'erase') machine.work(true);
    }
    assert.equal(machine.record.job?.task?.name, 'erase');
    machine.change({ wipeConsent: false });
    assert.equal(machine.record.job?.task, undefined);
    assert.equal(machine.record.error?.reason, 'ConsentMissing');
  });
});

describe('a disk that was begun to be written to over data', () => {
  it('is written without consent once it is empty, and the write is not withdrawn', () => {
    const machine = toldToWrite();
    machine.tellProgress(2_000_000);
    machine.change({ wipeConsent: false, broken: { reason: 'its disk is looked at' } });
    machine.disk = 'Blank';
    machine.losePower();
    const { taskNumber } = machine.record;
    const { broken: _, ...order } = machine.order;
    machine.order = order;
    machine.change({});
    machine.settle(60);
    assert.equal(machine.record.phase, 'Provisioned');
    assert.ok(machine.record.taskNumber - taskNumber < 10, `${machine.record.taskNumber} tasks`);
    assert.equal(machine.record.timeline.filter(({ reason }) => reason === 'WorkStopped').length, 1);
  });
});

describe('a box that was left to others in the middle of its write', () => {
  const ways: Record<string, readonly ((machine: SimulatedMachine) => void)[]> = {
    'provisioned by others': [(machine) => machine.change({ isExternal: true })],
    'marked broken': [(machine) => machine.change({ broken: { reason: 'fan' } })],
    'broken, then provisioned by others': [
      (machine) => machine.change({ broken: { reason: 'fan' } }),
      (machine) => machine.change({ isExternal: true }),
    ],
    'not accepted': [(machine) => machine.change({ accepted: false })],
    'named by no order': [(machine) => machine.setWanted(false)],
    protected: [(machine) => machine.change({ isProtected: true })],
  };
  for (const [name, steps] of Object.entries(ways)) {
    it(`is written again only with consent: ${name}`, () => {
      const machine = toldToWrite('Blank');
      machine.change({ wipeConsent: false });
      machine.tellProgress(2_000_000);
      machine.disk = 'Half';
      const { order } = machine;
      for (const step of steps) step(machine);
      machine.settle(5);
      machine.disk = 'Foreign';
      machine.running = 'Disk';
      machine.order = { ...order, generation: machine.order.generation };
      machine.setWanted(true);
      machine.change({});
      machine.crash();
      machine.settle();
      assert.equal(machine.disk, 'Foreign');
      assert.deepEqual(machine.writes, []);
      const { reason, message } = machine.record.error ?? {};
      assert.equal(reason, 'ConsentMissing');
      assert.match(message ?? '', /was begun to be written to sda, and the machine was left alone since/);
      machine.change({ wipeConsent: true });
      machine.settle();
      assert.equal(machine.record.phase, 'Provisioned');
    });
  }

  it('shows its disks again before it is told to write, although its system may still run', () => {
    const machine = new SimulatedMachine({ order: { provision } });
    machine.disk = 'Blank';
    for (let round = 0; round < 60 && machine.record.job?.task?.name !== 'write'; round++) machine.settle(1);
    machine.change({ isExternal: true });
    machine.disk = 'Foreign';
    const { isExternal: _, ...order } = machine.order;
    machine.order = order;
    machine.change({});
    assert.equal(machine.record.job?.task?.name, 'collect');
  });
});

it('a write that an agent of an earlier version began goes on over data only with consent', () => {
  const machine = toldToWrite('Blank');
  machine.change({ wipeConsent: false });
  machine.tellProgress(2_000_000);
  machine.disk = 'Half';
  const { written } = machine.record;
  assert.ok(written !== undefined);
  const { isOverData, ...disk } = written.disk;
  assert.equal(isOverData, false);
  machine.pressButton();
  machine.boot();
  machine.record = { ...machine.record, written: { ...written, disk } };
  machine.settle();
  assert.equal(machine.record.error?.reason, 'ConsentMissing');
  assert.deepEqual(machine.writes, []);
});

describe('a write that nobody wants any more', () => {
  const withdrawals: Record<string, (machine: SimulatedMachine) => void> = {
    'its machine is let go': (machine) => machine.letGo(),
    'another image is wanted': (machine) => machine.change({ provision: { ...provision, image: 'other' } }),
    'it is protected': (machine) => machine.change({ isProtected: true }),
    'it is provisioned by others': (machine) => machine.change({ isExternal: true }),
    'it is no longer accepted': (machine) => machine.change({ accepted: false }),
    'it is marked broken': (machine) => machine.change({ broken: { reason: 'fan' } }),
    'its order is gone': (machine) => machine.setWanted(false),
  };
  for (const [name, withdraw] of Object.entries(withdrawals)) {
    it(`is stopped at the next word of the box: ${name}`, () => {
      const machine = toldToWrite();
      machine.tellProgress(2_000_000);
      machine.disk = 'Half';
      withdraw(machine);
      assert.equal(machine.tellProgress(3_000_000), false, 'the box was told to go on');
      assert.equal(machine.record.timeline.filter(({ reason }) => reason === 'WorkStopped').length, 1);
      const { order, now } = machine;
      const { status, waiting, progress } = reportMachine(machine.record, { order, now });
      assert.equal(progress, undefined);
      if (status === 'Waiting') assert.match(waiting?.next ?? '', /is not whole there/);
    });
  }
});
