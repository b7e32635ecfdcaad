import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { RackImage } from '@selvedge/api';
import { sampleMac, sampleMachine, sampleUuid } from './life/testing/sample-order.ts';
import type { RackTimings } from './life/timings.ts';
import { TestRack } from './testing/test-rack.ts';

const { uid } = sampleMachine();
const provision = { image: 'tiny', hostname: 'web-1', instanceId: 'one' };
const bmc = { type: 'Redfish', address: 'https://bmc' } as const;

async function rackWithImage(t: TestContext, image: Partial<RackImage>, timings: Partial<RackTimings> = {}) {
  const rack = await TestRack.start(t, { powerPollSeconds: 1, retrySeconds: 0.1, ...timings });
  await rack.addImage(Buffer.alloc(1024 * 1024, 1), image);
  const inspection = { tests: [], isDisabled: true };
  rack.want({ machines: [sampleMachine({ bmc, provision, wipeConsent: true, inspection })] });
  const box = rack.box({ mac: sampleMac, uuid: sampleUuid });
  rack.power.state = 'On';
  return { rack, box };
}

describe('what a rack knows of a machine', () => {
  it('comes from the hub when its disk was lost: what runs on the machine runs on', async (t) => {
    const { rack, box } = await rackWithImage(t, {});
    await box.runSystem();
    await box.askWhatToBoot();
    assert.equal(await box.phoneHome(), 200);
    const { provisioned } = rack.record(uid);
    assert.ok(provisioned?.confirmedTime !== undefined);
    await rack.stop();
    for (const end of ['', '-wal', '-shm']) await rm(join(rack.directory, `agent.db${end}`), { force: true });
    const machines = rack.order.machines.map((machine) => ({
      ...machine,
      known: { phase: 'Provisioned' as const, provisioned },
    }));
    // A new rack: the box may ask before the order is there.
    rack.order = { ...rack.order, machines: [] };
    rack.power.calls.length = 0;
    await rack.open();
    assert.equal((await box.askWhatToBoot()).boot, 'Wait');
    rack.want({ machines });
    assert.equal(rack.record(uid).phase, 'Provisioned');
    assert.deepEqual(rack.record(uid).provisioned, provisioned);
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    assert.deepEqual(rack.power.calls, []);
    assert.equal(rack.reports().find(({ key }) => key === uid)?.status, 'OK');
  });

  it('does not come from leases that were there when the agent started, nor from its clock being put right', async (t) => {
    const { rack, box } = await rackWithImage(t, { confirmation: 'Boot' }, { bootProofSeconds: 60 });
    await box.runSystem();
    await box.askWhatToBoot();
    const before = rack.record(uid);
    assert.equal(before.job?.stage, 'Disk');
    // It was sent to its disk a while ago.
    rack.core.keeper.correctTimes(-30_000);
    rack.core.desk.dhcpSeen({ macAddress: sampleMac, address: '10.0.0.5', event: 'Old' });
    assert.equal(rack.record(uid).phase, 'Provisioning');
    // All times move with the clock: it is no nearer to its proof.
    rack.core.keeper.correctTimes(-600_000);
    rack.core.keeper.correctTimes(600_000);
    assert.equal(
      rack.record(uid).seen.lastBootTime,
      new Date(Date.parse(before.seen.lastBootTime ?? '') - 30_000).toISOString(),
    );
    rack.core.desk.dhcpSeen({ macAddress: sampleMac, address: '10.0.0.5', event: 'Lease' });
    assert.equal(rack.record(uid).phase, 'Provisioned');
  });

  it('names the digest that was written, though the image has another by now', async (t) => {
    const { rack, box } = await rackWithImage(t, {});
    const task = await box.runSystem({ until: ({ name }) => name === 'write' });
    assert.ok(task !== undefined);
    const digest = rack.record(uid).written?.digest;
    assert.ok(digest !== undefined);
    const pushed = await rack.addImage(Buffer.alloc(1024 * 1024, 2));
    assert.notEqual(pushed.digest, digest);
    await box.answer(task);
    assert.equal(rack.record(uid).provisioned?.digest, digest);
    assert.equal(rack.record(uid).provisioned?.image, 'tiny');
  });
});
