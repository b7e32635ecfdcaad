import assert from 'node:assert/strict';
import { copyFile, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Machine, type MachineImage, machineImages, type MachineSpec, machines } from '@selvedge/api';
import { getTool, requireTool } from '@selvedge/testkit';
import { ChildProgram } from '../../quickstart/lab/child-program.ts';
import { poll } from '../../quickstart/lab/poll.ts';
import { type Box, type BoxOptions, RackLab, rackLabTools, siteName } from './rack-lab.ts';
import {
  buildBootFiles,
  buildTinyImage,
  getImage,
  imageTools,
  pushImage,
  waitImages,
} from './test-images.ts';

const mebibyte = 1024 * 1024;
const impatientAgent = join(import.meta.dirname, '../../packages/agent/src/testing/impatient-rack-agent.ts');

type Status = NonNullable<Machine['status']>;

/** One rack; each test has boxes of its own, which are off again when it ends. */
describe('machines in trouble', requireTool(...rackLabTools, ...imageTools), () => {
  let lab: RackLab;
  let tiny: string;

  before(async () => {
    lab = await RackLab.start({
      agentProgram: [process.execPath, impatientAgent],
      agentFlags: ['--rack-boot-files', await buildBootFiles()],
    });
    tiny = await buildTinyImage('tiny');
    await pushImage(lab, 'tiny', tiny);
  });
  after(() => lab?.close());

  /** A box whose Machine is Available without having been looked at. */
  const addKnown = async (options: BoxOptions, spec: Partial<MachineSpec> = {}): Promise<Box> => {
    const box = await lab.addBox(options);
    await lab.createMachine(box, { inspection: { disabled: true }, ...spec });
    await lab.waitMachine(box.name, 'is Available', ({ phase }) => phase === 'Available');
    return box;
  };
  const provision = (name: string, image: string) =>
    lab.changeMachine(name, (spec) => ({ ...spec, provision: { image } }));
  const waitProvisioned = (name: string, image = 'tiny') =>
    lab.waitMachine(
      name,
      `is Provisioned with ${image}`,
      ({ phase, provisioned }) => phase === 'Provisioned' && provisioned?.image === image,
    );
  const waitError = (name: string, reason: NonNullable<Status['error']>['reason']) =>
    lab.waitMachine(name, `has the error ${reason}`, ({ error }) => error?.reason === reason);
  const writtenBytes = async (box: Box) => (await stat(box.machine.diskFiles[0] ?? '')).blocks * 512;
  const isUntouched = async (box: Box) => assert.equal(await writtenBytes(box), 0, 'something was written');

  test('power is lost in the middle of writing: it is written on and runs', async () => {
    const large = join(lab.folder, 'large.raw');
    await copyFile(tiny, large);
    await appendNoise(large, 160 * mebibyte);
    await pushImage(lab, 'large', large);
    const box = await addKnown({ name: 'mid-write' });
    await provision(box.name, 'large');
    await poll(async () => ((await writtenBytes(box)) > 40 * mebibyte ? true : undefined), {
      seconds: 300,
      what: 'a part is written',
      everyMilliseconds: 10,
      why: () => lab.describe(box.name),
    });
    await box.machine.turnOff({ isGraceful: false });
    assert.ok((await writtenBytes(box)) < 170 * mebibyte, 'it was quicker than this test');
    const { status } = await waitProvisioned(box.name, 'large');
    assert.ok(status?.timeline?.some(({ type }) => type === 'Warning'));
    await box.machine.turnOff({ isGraceful: false });
  });

  test('the hub goes away once the site has what it needs: it is provisioned, and told later', async () => {
    const box = await addKnown({ name: 'hub-away' });
    await provision(box.name, 'tiny');
    await waitImages(lab, 'tiny');
    await lab.waitMachine(box.name, 'is being provisioned', ({ phase }) => phase === 'Provisioning');
    await lab.hub.crash();
    await poll(
      async () => ((await box.machine.lastLines(40)).includes('tiny OS is confirmed') ? true : undefined),
      { seconds: 300, what: 'it runs from its disk', why: () => lab.describe() },
    );
    await lab.startHub();
    await waitProvisioned(box.name);
    await box.machine.turnOff({ isGraceful: false });
  });

  test('the agent is killed at each step, and the clock of the box is wrong: it is provisioned all the same', async () => {
    const box = await lab.addBox({ name: 'killed', clock: '2001-01-01T00:00:00' });
    const started = new Date().toISOString();
    await lab.createMachine(box);
    const killed = await killAtEachStep(box.name, ({ phase }) => phase === 'Available');
    await provision(box.name, 'tiny');
    killed.push(...(await killAtEachStep(box.name, ({ phase }) => phase === 'Provisioned')));
    assert.ok(killed.length >= 4, `killed at ${killed.join(', ')}`);
    const { status } = await waitProvisioned(box.name);
    // Times are those of the rack.
    for (const time of [status?.inspectedTime, status?.provisioned?.writtenTime]) {
      assert.ok(time !== undefined && time >= started, time);
    }
    await box.machine.turnOff({ isGraceful: false });
  });

  /** Kills the agent whenever a step shows at the hub at which it was not killed yet; returns those steps. */
  const killAtEachStep = async (name: string, isOver: (status: Status) => boolean): Promise<string[]> => {
    const killedAt: string[] = [];
    await lab.waitMachine(name, { what: 'comes through', seconds: 600 }, (status) => {
      const step = status.waiting?.step ?? status.progress?.step;
      if (isOver(status)) return true;
      if (step === undefined || killedAt.includes(`${status.phase}/${step}`)) return false;
      killedAt.push(`${status.phase}/${step}`);
      killing = killing.then(async () => {
        await lab.killAgent();
        await lab.startAgent();
      });
      return false;
    });
    await killing;
    return killedAt;
  };
  let killing = Promise.resolve();

  test('an image that is not what its digest says, then a disk that is too small: nothing is written', async () => {
    const { spec } = await getImage(lab, 'tiny');
    await lab.client.create<MachineImage>(machineImages, {
      apiVersion: 'selvedge.dev/v1alpha1',
      kind: 'MachineImage',
      metadata: { name: 'forged' },
      spec: { ...spec, digest: `sha256:${'ab'.repeat(32)}` },
    });
    const box = await addKnown({ name: 'small', disks: [{ sizeBytes: 8 * mebibyte, serial: 'small' }] });
    await provision(box.name, 'forged');
    const { status } = await lab.waitMachine(
      box.name,
      'refuses the image',
      ({ error }) => error?.reason === 'ImageMismatch' || error?.reason === 'ImageUnavailable',
    );
    assert.match(status?.error?.message ?? '', /digest|forged/);
    await provision(box.name, 'tiny');
    const small = await waitError(box.name, 'DiskTooSmall');
    assert.match(small.status?.error?.message ?? '', /bytes/);
    await isUntouched(box);
    await lab.changeMachine(box.name, (wanted) => ({
      ...wanted,
      broken: { reason: 'its disk is too small' },
    }));
    await box.machine.turnOff({ isGraceful: false });
  });

  test('two boxes with one serial number are two machines; two with one MAC address are a conflict', async () => {
    const mac = '52:54:00:77:ff:01';
    const options = [
      { name: 'twin-1', serial: 'SAME' },
      { name: 'twin-2', serial: 'SAME' },
    ];
    const twins = [
      await lab.addBox(options[0] ?? { name: '' }),
      await lab.addBox(options[1] ?? { name: '' }),
    ];
    for (const { machine } of twins) await machine.turnOn('Network');
    for (const { machine } of twins) {
      const name = nameOf(machine.identity.macAddresses[0]);
      const { status } = await lab.waitMachine(name, 'is New', ({ phase }) => phase === 'New');
      assert.notEqual(status?.error?.reason, 'IdentityConflict');
      await machine.turnOff({ isGraceful: false });
    }
    const first = await lab.addBox({ name: 'same-1', macAddresses: [mac] });
    const second = await lab.addBox({ name: 'same-2', macAddresses: [mac] });
    await first.machine.turnOn('Network');
    await lab.waitMachine(nameOf(mac), 'is New', ({ phase }) => phase === 'New');
    await first.machine.turnOff({ isGraceful: false });
    await second.machine.turnOn('Network');
    await waitError(nameOf(mac), 'IdentityConflict');
    await lab.changeMachine(nameOf(mac), (spec) => ({ ...spec, accepted: true }));
    await isUntouched(first);
    await isUntouched(second);
    await second.machine.turnOff({ isGraceful: false });
  });

  test('a BMC that hangs holds up its machine alone, which goes on when it answers again', async () => {
    const box = await lab.addBox({ name: 'hangs' });
    assert.ok(box.bmc);
    box.bmc.fault = { kind: 'Hang' };
    await lab.createMachine(box);
    const { status } = await waitError(box.name, 'PowerUnavailable');
    assert.ok(status?.waiting?.next);
    const other = await addKnown({ name: 'beside' });
    assert.ok(!other.machine.isOn());
    box.bmc.fault = undefined;
    await lab.changeMachine(box.name, (spec) => ({
      ...spec,
      requests: { retryTime: new Date().toISOString() },
    }));
    await lab.waitMachine(box.name, 'is Available', ({ phase }) => phase === 'Available');
    await box.machine.turnOff({ isGraceful: false });
  });

  test('a BMC that lies: it says that the network comes next, the disk does; a person helps, and it is inspected', async () => {
    const box = await lab.addBox({
      name: 'lies',
      quirks: ['OverrideIgnored'],
      disks: [{ sizeBytes: 64 * mebibyte, serial: 'old' }],
    });
    const disk = box.machine.diskFiles[0] ?? '';
    await copyFile(tiny, disk);
    await truncate(disk, 64 * mebibyte);
    const before = await writtenBytes(box);
    await lab.createMachine(box);
    const { status } = await lab.waitMachine(
      box.name,
      'says that the box does not come',
      ({ error }) => error?.reason === 'PowerNotHonoured' || error?.reason === 'TimedOut',
    );
    assert.match(`${status?.error?.message} ${status?.waiting?.next}`, /network|boot/i);
    // As somebody who puts the network first in the setup of its firmware: whenever the rack tries again.
    box.machine.setBootOrder('NetworkFirst');
    await box.machine.reset('Default');
    const inspected = await lab.waitMachine(box.name, 'is Available', ({ phase }) => phase === 'Available');
    assert.equal(inspected.status?.disks, 'Data');
    assert.ok((await writtenBytes(box)) <= before + mebibyte);
    await box.machine.turnOff({ isGraceful: false });
  });

  test('another DHCP server on the wire is seen and named', async () => {
    // The rack looks when it starts, and every few minutes.
    await lab.stopAgent();
    const enter = await lab.network.addGuest('rogue', '10.77.0.250/24');
    const logFile = join(lab.folder, 'rogue.log');
    const rogue = await ChildProgram.start({
      name: 'rogue',
      command: [
        ...enter,
        getTool('dnsmasq'),
        '--keep-in-foreground',
        '--conf-file=/dev/null',
        '--port=0',
        '--interface=eth0',
        '--bind-interfaces',
        '--user=root',
        '--pid-file=',
        '--log-facility=-',
        '--dhcp-range=10.77.0.230,10.77.0.240',
        `--dhcp-leasefile=${join(lab.folder, 'rogue.leases')}`,
      ],
      logFile,
    });
    try {
      await rogue.ready(
        async () => ((await readFile(logFile, 'utf8')).includes('DHCP, IP range') ? true : undefined),
        { seconds: 60, what: 'serves' },
      );
      await lab.startAgent();
      const isRogue = ({ address }: { address: string }) => address === '10.77.0.250';
      const site = await lab.waitSite(
        'names the other server',
        ({ rack }) => rack?.networks.some(({ otherServers = [] }) => otherServers.some(isRogue)) === true,
      );
      assert.equal(site.status?.rack?.networks[0]?.state, 'Serving');
    } finally {
      await rogue.stop();
    }
  });

  test('nothing of this is in the log that should not be', async () => {
    const log = await lab.agentLog();
    assert.ok(!log.includes('not-for-logs'));
    assert.ok((await lab.client.list<Machine>(machines)).items.length >= 8);
  });
});

function nameOf(mac = ''): string {
  return `${siteName}-${mac.replaceAll(':', '-')}`;
}

/** Bytes that no compression makes fewer. */
async function appendNoise(file: string, length: number): Promise<void> {
  const { appendFile } = await import('node:fs/promises');
  const { randomBytes } = await import('node:crypto');
  for (let done = 0; done < length; done += 8 * mebibyte) await appendFile(file, randomBytes(8 * mebibyte));
}
