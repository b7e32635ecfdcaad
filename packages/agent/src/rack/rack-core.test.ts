import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../testing/test-agent.ts';
import { sampleMac, sampleMachine, sampleUuid } from './life/testing/sample-order.ts';
import type { ReadTask } from './testing/fake-box.ts';
import { unavailable } from './testing/test-power.ts';
import { TestRack } from './testing/test-rack.ts';

const { uid } = sampleMachine();
const provision = { image: 'tiny', hostname: 'web-1', instanceId: 'one' };
const quick = { powerPollSeconds: 1, retrySeconds: 0.1 };

/** Three chunks: bytes, zeros, bytes. */
function imageBytes(): Buffer {
  const chunk = 4 * 1024 * 1024;
  return Buffer.concat([Buffer.alloc(chunk, 1), Buffer.alloc(chunk), Buffer.alloc(1024, 2)]);
}

describe('a rack and a box, over sockets', () => {
  it('tells of a box that nobody knows, lets it wait, and takes it in when it is accepted', async (t) => {
    const rack = await TestRack.start(t, quick);
    const box = rack.box({ mac: sampleMac, uuid: sampleUuid, serial: 'S1' });
    assert.equal((await box.askWhatToBoot()).boot, 'Wait');
    const [found] = rack.reports();
    assert.equal(found?.key, `box:${sampleMac}`);
    assert.equal(found?.phase, 'New');
    assert.equal(found?.status, 'Waiting');
    assert.deepEqual(found?.seen.macAddresses, [sampleMac]);
    assert.deepEqual(found?.seen.serials, ['S1']);
    rack.want({ machines: [sampleMachine({ accepted: false })] });
    assert.equal((await box.askWhatToBoot()).boot, 'Wait');
    assert.equal(rack.reports().find(({ key }) => key === uid)?.phase, 'New');
    assert.equal(rack.core.keeper.find(`box:${sampleMac}`), undefined);
    rack.wantMachine({ accepted: true });
    const last = await box.runSystem();
    assert.equal(last?.name, 'poweroff');
    const report = rack.reports().find(({ key }) => key === uid);
    assert.equal(report?.phase, 'Available');
    assert.equal(report?.disks, 'Blank');
    assert.equal(report?.inventory?.resources.storage.disks.length, 1);
    // No BMC was needed.
    assert.deepEqual(rack.power.calls, []);
  });

  it('does not ask the BMC for a box that asks by itself in a moment', async (t) => {
    const rack = await TestRack.start(t, quick);
    const box = rack.box({ mac: sampleMac });
    rack.want({
      machines: [sampleMachine({ accepted: false, bmc: { type: 'Redfish', address: 'https://bmc' } })],
    });
    assert.equal((await box.askWhatToBoot()).boot, 'Wait');
    rack.wantMachine({ accepted: true });
    assert.equal(rack.record(uid).wish, undefined);
    await box.runSystem();
    assert.ok(!rack.power.calls.some((call) => call.startsWith('SetBoot')), rack.power.calls.join());
  });

  it('writes as many disks at once as it may, and says so to those who wait', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(imageBytes());
    const ports = ['52:54:00:00:00:01', '52:54:00:00:00:02', '52:54:00:00:00:03'];
    const uids = ports.map((_, index) => `turn-${index}`);
    rack.want({
      writesAtOnce: 1,
      machines: ports.map((mac, index) =>
        sampleMachine({
          uid: uids[index] ?? '',
          name: `turn-${index}`,
          identity: { macAddresses: [mac] },
          inspection: { tests: [], isDisabled: true },
          provision: { ...provision, instanceId: `of-${index}` },
        }),
      ),
    });
    const boxes = ports.map((mac) => rack.box({ mac }));
    const writes: ReadTask[] = [];
    for (const box of boxes) {
      void box.runSystem({ until: (task) => task.name === 'write' && writes.push(task) > 0 });
    }
    const waiting = () =>
      uids.filter((key) => rack.record(key).job?.expected.includes('spec.rack.writesAtOnce'));
    const isWriting = (key: string) => rack.record(key).job?.task?.name === 'write';
    for (const left of [2, 1, 0]) {
      await eventually(`${left} wait`, () => waiting().length === left && writes.length === 3 - left);
      const key = uids.find(isWriting) ?? assert.fail('none is written');
      assert.equal(uids.filter(isWriting).length, 1);
      const box = boxes[uids.indexOf(key)] ?? assert.fail();
      await box.carryOut(writes.at(-1) ?? assert.fail());
    }
    assert.equal(uids.filter(isWriting).length, 0);
  });

  it('provisions by the BMC: writes, verifies, seeds, confirms; then releases and erases', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(imageBytes());
    rack.secrets.set('Secret/fleet/bmc', {
      type: 'Opaque',
      data: {
        username: Buffer.from('admin').toString('base64'),
        password: Buffer.from('secret').toString('base64'),
      },
    });
    const bmc = { type: 'Redfish' as const, address: 'https://bmc', credentials: 'Secret/fleet/bmc' };
    const box = rack.box({ mac: sampleMac });
    let booting: Promise<unknown> = Promise.resolve();
    rack.power.onStart = () => {
      booting = box.runSystem();
    };
    rack.want({ machines: [sampleMachine({ bmc })] });
    await eventually('it is Available', () => rack.record(uid).phase === 'Available');
    await booting;
    assert.deepEqual(rack.power.calls.slice(0, 2), ['SetBoot Network', 'On']);
    assert.deepEqual(rack.power.logins[0], { username: 'admin', password: 'secret' });
    rack.power.state = 'Off';

    rack.wantMachine({ provision: { ...provision, userData: { text: '#cloud-config\n' } } });
    await eventually('it waits for its disk to boot', () => rack.record(uid).job?.stage === 'Disk');
    await booting;
    assert.deepEqual(box.disk, imageBytes());
    assert.equal(box.seed.get('user-data'), '#cloud-config\n');
    assert.match(box.seed.get('meta-data') ?? '', /^local-hostname: "web-1"$/m);
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    assert.equal(await box.phoneHome(), 200);
    assert.equal(await box.phoneHome(), 403);
    assert.equal(rack.record(uid).phase, 'Provisioned');
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');

    const [machine] = rack.order.machines;
    const { provision: _, ...bare } = machine ?? sampleMachine();
    rack.want({ machines: [{ ...bare, generation: 9, erase: 'Quick' }] });
    await eventually('it asks for consent', () => rack.record(uid).error?.reason === 'ConsentMissing');
    assert.equal(box.signature, 'mbr');
    rack.wantMachine({ wipeConsent: true });
    await eventually('it is released', () => rack.record(uid).phase === 'Available');
    await booting;
    assert.equal(box.signature, undefined);
    assert.equal(rack.record(uid).disks, 'Blank');
  });

  it('goes on after a restart of the agent at each task, with the same session', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(imageBytes());
    rack.want({ machines: [sampleMachine({ provision })] });
    const box = rack.box({ mac: sampleMac });
    const { nonce } = await box.askWhatToBoot();
    await rack.restart();
    assert.equal(await box.openSession(nonce), 200);
    const seen: string[] = [];
    const isWritten = () => {
      const { phase, job } = rack.record(uid);
      return phase === 'Provisioning' && job?.stage === 'Disk';
    };
    for (let round = 0; round < 20 && !isWritten(); round += 1) {
      await rack.restart();
      const task = await box.task(t.signal);
      if (task === undefined) continue;
      seen.push(task.name);
      await rack.restart();
      const again = await box.task();
      assert.deepEqual(again, task, 'the same task is given again');
      await box.carryOut(task);
    }
    assert.deepEqual(seen, ['collect', 'write', 'seed', 'reboot']);
    await rack.restart();
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    // The port of the boot server is another one after the restart: only a test's is.
    const url = new URL(/"url":"([^"]+)"/.exec(box.seed.get('vendor-data') ?? '')?.[1] ?? '');
    const answer = await fetch(`${rack.url}${url.pathname}`, { method: 'POST', body: '' });
    assert.equal(answer.status, 200);
    assert.equal(rack.record(uid).phase, 'Provisioned');
  });

  it('takes a nonce once, from the box that it was made for', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.want({ machines: [sampleMachine()] });
    const box = rack.box({ mac: sampleMac });
    const { nonce } = await box.askWhatToBoot();
    const other = rack.box({ mac: '52:54:00:00:00:99' });
    assert.equal(await other.openSession(nonce), 403);
    assert.equal(await box.openSession('guess'), 403);
    assert.equal(await box.openSession(nonce), 200);
    assert.equal(await box.openSession(nonce), 403);
    const reasons = rack.record(uid).timeline.map(({ reason }) => reason);
    assert.ok(reasons.includes('NonceRefused'));
    assert.ok(reasons.includes('NonceReused'));
    // A new boot ends the session of the one before.
    await box.askWhatToBoot();
    await assert.rejects(box.task(), /401/);
  });

  it('does nothing to two boxes that show one identity, until somebody says which is which', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.want({ machines: [sampleMachine()] });
    const box = rack.box({ mac: sampleMac, uuid: sampleUuid });
    const twin = rack.box({ mac: sampleMac, uuid: '4c4c4544-0035-5310-8052-b4c04f4a3399' });
    assert.equal((await box.askWhatToBoot()).boot, 'System');
    assert.equal((await twin.askWhatToBoot()).boot, 'Disk');
    assert.equal(rack.record(uid).error?.reason, 'IdentityConflict');
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    rack.wantMachine({ identity: { macAddresses: [sampleMac], uuid: sampleUuid } });
    assert.equal((await box.askWhatToBoot()).boot, 'System');
  });

  it('does nothing to a box that fits two machines', async (t) => {
    const rack = await TestRack.start(t, quick);
    const second = '00000000-0000-4000-8000-000000000002';
    rack.want({
      machines: [sampleMachine(), sampleMachine({ name: 'm2', uid: second, identity: { uuid: sampleUuid } })],
    });
    const box = rack.box({ mac: sampleMac, uuid: sampleUuid });
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    for (const key of [uid, second]) assert.equal(rack.record(key).error?.reason, 'IdentityConflict');
  });

  it('does not take a serial number that many boxes have for an identity', async (t) => {
    const rack = await TestRack.start(t, quick);
    const serial = 'To Be Filled By O.E.M.';
    rack.want({ machines: [sampleMachine({ identity: { serials: [serial] } })] });
    const box = rack.box({ mac: '52:54:00:00:00:77', serial });
    assert.equal((await box.askWhatToBoot()).boot, 'Wait');
    assert.equal(rack.record('box:52:54:00:00:00:77').phase, 'New');
  });

  it('leaves a machine alone that is not in the order any more', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(imageBytes());
    rack.want({ machines: [sampleMachine({ provision })] });
    const box = rack.box({ mac: sampleMac });
    await box.runSystem({ until: ({ name }) => name === 'write' });
    rack.want({ machines: [] });
    assert.equal(await box.progress('Writing', 1, 2), 'abort');
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    assert.deepEqual(rack.power.calls, []);
  });

  it('stops writing when the order has changed, and writes what is wanted now', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(imageBytes());
    const other = Buffer.alloc(1024, 9);
    await rack.addImage(other, { name: 'other' });
    rack.want({ machines: [sampleMachine({ provision })] });
    const box = rack.box({ mac: sampleMac });
    await box.runSystem({ until: ({ name }) => name === 'write' });
    assert.equal(await box.progress('Writing', 1, 2), 'continue');
    rack.wantMachine({ provision: { ...provision, image: 'other' } });
    await eventually('the other image is to be written', async () => {
      const task = await box.task();
      return task?.name === 'write' && task.fields.get('disk-bytes')?.[0] === '1024';
    });
    await box.work({ until: ({ name }) => name === 'seed' });
    assert.deepEqual(box.disk, other);
  });

  it('says that a disk is too small, and writes nothing', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(imageBytes());
    rack.want({ machines: [sampleMachine({ provision })] });
    const box = rack.box({ mac: sampleMac });
    box.diskBytes = 1_000_000;
    void box.runSystem().catch(() => {
      // It polls until the rack is gone.
    });
    await eventually('the rack says so', () => rack.record(uid).error?.reason === 'DiskTooSmall');
    assert.equal(box.disk.length, 0);
  });

  it('runs scripts and tests after the inventory, and tells what came of them', async (t) => {
    const rack = await TestRack.start(t, quick);
    const digest = rack.addScript('#!/bin/sh\necho hello\n');
    const metadata = {
      name: '10-hello',
      type: 'Commissioning' as const,
      hardwareType: 'Node' as const,
      parallel: 'Disabled' as const,
      timeoutSeconds: 60,
      tags: [],
      forHardware: [],
      mayReboot: false,
    };
    rack.want({
      scripts: [{ name: '10-hello', digest, metadata }],
      machines: [sampleMachine({ inspection: { tests: ['memory'] } })],
    });
    const box = rack.box({ mac: sampleMac });
    const script = await box.runSystem({ until: ({ name }) => name === 'script' });
    assert.deepEqual(script?.fields.get('name'), ['10-hello']);
    assert.equal(await box.answer(script ?? assert.fail(), ['status ok', 'exit 0', 'output', 'hello']), 204);
    const test = await box.work({ until: ({ name }) => name === 'test' });
    await box.answer(test ?? assert.fail(), ['status failed', 'message two bits']);
    await eventually('the test is told of', () => rack.record(uid).error?.reason === 'TestFailed');
    const results = rack.reports().at(-1)?.results ?? [];
    assert.deepEqual(
      results.map(({ name, status }) => `${name} ${status}`),
      ['script:10-hello Passed', 'test:memory Failed'],
    );
    assert.equal(rack.record(uid).phase, 'Inspecting');
  });

  it('says that a BMC does not answer, asks again, and goes on when it does', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.power.error = unavailable();
    rack.want({ machines: [sampleMachine({ bmc: { type: 'IPMI', address: 'bmc' } })] });
    await eventually('it is told', () => rack.record(uid).error?.reason === 'PowerUnavailable');
    const said = rack.reports().find(({ key }) => key === uid);
    assert.equal(said?.status, 'Error');
    assert.match(said?.waiting?.next ?? '', /asked again/);
    const box = rack.box({ mac: sampleMac });
    rack.power.onStart = () => void box.runSystem();
    rack.power.error = undefined;
    await eventually('it is Available', () => rack.record(uid).phase === 'Available');
    assert.equal(rack.record(uid).error, undefined);
  });

  it('has a box turned off and on whose BMC takes every order and always reads On', async (t) => {
    const rack = await TestRack.start(t, { ...quick, bootSeconds: 0.3 });
    rack.power.isStuck = true;
    rack.power.state = 'On';
    const box = rack.box({ mac: sampleMac });
    let started: Promise<unknown> | undefined;
    rack.power.onStart = () => void (started ??= box.runSystem());
    rack.want({ machines: [sampleMachine({ bmc: { type: 'IPMI', address: 'bmc' } })] });
    await eventually('it is Available', () => rack.record(uid).phase === 'Available');
    await started;
    const turns = rack.power.calls.filter((call) => !call.startsWith('SetBoot'));
    assert.deepEqual(turns.slice(0, 3), ['Cycle', 'Cycle', 'ForcedCycle']);
    assert.equal(rack.record(uid).error, undefined);
  });

  it('waits for the login of a BMC, and asks it once that has come', async (t) => {
    const rack = await TestRack.start(t, quick);
    const bmc = { type: 'Redfish' as const, address: 'https://bmc', credentials: 'Secret/fleet/bmc' };
    rack.want({ machines: [sampleMachine({ bmc })] });
    const report = rack.reports().find(({ key }) => key === uid);
    assert.equal(report?.status, 'Waiting');
    assert.match(report?.waiting?.expected ?? '', /Secret\/fleet\/bmc/);
    rack.secrets.set('Secret/fleet/bmc', { type: 'Opaque', data: {} });
    rack.core.contentChanged();
    await eventually('the BMC is asked', () => rack.power.calls.includes('On'));
    assert.equal(rack.record(uid).error, undefined);
  });

  it('waits for a Secret with user data, and says which', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(imageBytes());
    const userData = { secret: 'Secret/fleet/boot', key: 'user-data' };
    rack.want({ machines: [sampleMachine({ provision: { ...provision, userData } })] });
    const box = rack.box({ mac: sampleMac });
    const working = box.runSystem();
    await eventually('it is told', () => rack.record(uid).error?.reason === 'SecretMissing');
    const text = Buffer.from('#!/bin/sh\n').toString('base64');
    rack.secrets.set('Secret/fleet/boot', { type: 'Opaque', data: { 'user-data': text } });
    rack.core.reviewAll();
    await working;
    assert.equal(box.seed.get('user-data'), '#!/bin/sh\n');
  });

  it('numbers reports upwards over restarts, and tells again what the hub does not have', async (t) => {
    const rack = await TestRack.start(t, quick);
    rack.want({ machines: [sampleMachine()] });
    const first = rack.core.machines.take(1_000_000);
    assert.equal(first.length, 1);
    await rack.restart();
    const again = rack.core.machines.take(1_000_000);
    assert.equal(again.length, 1, 'it was not acknowledged');
    const seq = again[0]?.seq ?? 0;
    assert.ok(seq >= (first[0]?.seq ?? 0));
    rack.core.machines.acknowledge(seq);
    assert.equal(rack.core.machines.hasNews(), false);
    rack.core.machines.sendAll();
    assert.ok((rack.core.machines.take(1_000_000)[0]?.seq ?? 0) > seq);
    // A hub that knows more than this rack ever said.
    rack.core.machines.acknowledge(seq + 50_000_000);
    assert.ok((rack.core.machines.take(1_000_000)[0]?.seq ?? 0) > seq + 50_000_000);
  });

  it('leaves a server running whose Machine was deleted at the hub and made again', async (t) => {
    const rack = await TestRack.start(t, quick);
    await rack.addImage(imageBytes());
    rack.want({ machines: [sampleMachine({ provision })] });
    const box = rack.box({ mac: sampleMac });
    await box.runSystem();
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    assert.equal(await box.phoneHome(), 200);
    rack.want({ machines: [] });
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    const again = '00000000-0000-4000-8000-000000000007';
    rack.want({ machines: [sampleMachine({ uid: again, wipeConsent: true, erase: 'Quick' })] });
    assert.equal(rack.record(again).phase, 'Provisioned');
    assert.equal((await box.askWhatToBoot()).boot, 'Disk');
    const report = rack.reports().find(({ key }) => key === again);
    assert.equal(report?.status, 'Waiting');
    assert.match(report?.waiting?.next ?? '', /spec.provision/);
    rack.wantMachine({ provision });
    assert.equal(rack.reports().find(({ key }) => key === again)?.status, 'OK');
    assert.equal(rack.record(again).phase, 'Provisioned');
  });

  it('remembers only so many boxes that nobody wants', async (t) => {
    const rack = await TestRack.start(t, quick);
    for (let number = 0; number < 230; number++) {
      const mac = `52:54:01:00:00:${number.toString(16).padStart(2, '0')}`;
      await rack.core.desk.bootRequested({
        macAddress: mac,
        platform: 'BIOS',
        architecture: 'amd64',
        address: '127.0.0.1',
      });
    }
    assert.equal(rack.core.keeper.all().length, 200);
  });
});
