import assert from 'node:assert/strict';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type BootMode,
  isLegalTransition,
  type Machine,
  type MachineClaim,
  machineClaims,
  type MachinePhase,
  machines,
} from '@selvedge/api';
import { requireTool } from '@selvedge/testkit';
import { poll } from '../../quickstart/lab/poll.ts';
import { type Box, RackLab, rackLabTools, siteName } from './rack-lab.ts';
import { buildTinyImage, imageTools, pushImage, pushInspectionSystem } from './test-images.ts';

const mebibyte = 1024 * 1024;
const diskBytes = 512 * mebibyte;

describe('the whole life of a machine', requireTool(...rackLabTools, ...imageTools), () => {
  let lab: RackLab;
  let images: Readonly<Record<ImageName, string>>;

  before(async () => {
    lab = await RackLab.start();
    await pushInspectionSystem(lab);
    images = { one: await buildTinyImage('one'), two: await buildTinyImage('two', 'gpt') };
    for (const [name, file] of Object.entries(images)) await pushImage(lab, name, file);
  });
  after(() => lab?.close());

  // The first asks the network at every start, as servers in a rack do; the second has its disk first.
  lifeOf({ firmware: 'BIOS', image: 'one', nextImage: 'two' }, () => ({ lab, images }));
  lifeOf({ firmware: 'UEFI', image: 'two', nextImage: 'one' }, () => ({ lab, images }));
});

type ImageName = 'one' | 'two';

function lifeOf(
  { firmware, image, nextImage }: { firmware: BootMode; image: ImageName; nextImage: ImageName },
  given: () => { lab: RackLab; images: Readonly<Record<ImageName, string>> },
): void {
  describe(`with ${firmware}`, { concurrency: 1 }, () => {
    const claim = `web-${firmware.toLowerCase()}`;
    let lab: RackLab;
    let box: Box;
    let name: string;

    const provisioned = (wanted: ImageName) =>
      lab.waitMachine(
        name,
        `is Provisioned with ${wanted}`,
        ({ phase, provisioned: what }) => phase === 'Provisioned' && what?.image === wanted,
      );

    before(async () => {
      ({ lab } = given());
      const bootOrder = firmware === 'BIOS' ? 'NetworkFirst' : 'DiskFirst';
      box = await lab.addBox({ name: firmware.toLowerCase(), firmware, bootOrder });
      name = `${siteName}-${box.machine.identity.macAddresses[0]?.replaceAll(':', '-')}`;
    });

    test('a box that nobody knows is turned on, and the hub has a Machine that is not accepted', async () => {
      // UEFI fetches by HTTP here, and by TFTP when its BMC says "network".
      await box.machine.turnOn(firmware === 'UEFI' ? 'HTTP' : 'Default');
      const { spec, status } = await lab.waitMachine(name, 'is New', ({ phase }) => phase === 'New');
      assert.equal(spec.accepted, false);
      assert.deepEqual(spec.identity.macAddresses, box.machine.identity.macAddresses);
      assert.equal(spec.identity.uuid, box.machine.identity.uuid);
      assert.equal(status?.seen?.bootMode, firmware);
      assert.match(status?.seen?.address ?? '', /^10\.77\.0\.\d+$/);
    });

    test('accepted it is inspected, is Available and goes off; its inventory is what it is made of', async () => {
      const bmc = lab.bmcOf(box);
      await lab.selvedge(
        'machine',
        'accept',
        name,
        '--bmc',
        'Redfish',
        '--bmc-address',
        bmc.address ?? '',
        '--bmc-secret',
        'default/bmc',
      );
      const { status } = await lab.waitMachine(name, 'is Available', ({ phase }) => phase === 'Available');
      const { resources } = status?.inventory ?? assert.fail('no inventory');
      assert.equal(resources.cpu.total, 1);
      const disk = resources.storage.disks.find(({ serial }) => serial === `disk-of-${box.name}`);
      assert.equal(disk?.size, diskBytes);
      const addresses = resources.network.cards.flatMap(({ ports }) => ports.map((port) => port.address));
      assert.deepEqual(addresses, box.machine.identity.macAddresses);
      assert.equal(status?.disks, 'Blank');
      await waitOff();
    });

    test('a claim takes it', async () => {
      await lab.selvedge('machine', 'allocate', claim, '--machine', name, '--memory', '100Mi');
      const machine = await lab.waitMachine(name, 'is Allocated', ({ phase }) => phase === 'Allocated');
      assert.equal(machine.spec.consumer?.name, claim);
    });

    test('provisioned it runs the image from its disk, with its name and user data', async () => {
      await changeClaim({ image, hostname: `host-${claim}` });
      const { status } = await provisioned(image);
      assert.ok(status?.provisioned?.confirmedTime);
      assert.equal(status.provisioned.serial, `disk-of-${box.name}`);
      assert.ok(box.machine.isOn());
      await waitConsole(new RegExp(`${image}.*host-${claim}|host-${claim}.*${image}`, 's'));
      await assertWritten(given().images[image]);
    });

    test('with data on its disk it is provisioned again only with consent', async () => {
      await changeClaim({ image: nextImage });
      const refused = await lab.waitMachine(
        name,
        'misses the consent',
        ({ error }) => error?.reason === 'ConsentMissing',
      );
      assert.match(refused.status?.error?.message ?? '', /wipeConsent/);
      await assertWritten(given().images[image]);
      await changeClaim({ image });
      await lab.waitMachine(
        name,
        'is as it was',
        ({ phase, operationalStatus }) => phase === 'Provisioned' && operationalStatus === 'OK',
      );
    });

    test('released with erase its disk is empty and it is Available again', async () => {
      await lab.selvedge('machine', 'release', name, '--erase', 'quick', '--wipe', name, '--yes');
      const { status } = await lab.waitMachine(
        name,
        'is Available and blank',
        ({ phase, disks }) => phase === 'Available' && disks === 'Blank',
      );
      assert.equal(status?.provisioned, undefined);
      await waitOff();
      const start = await readDisk(0, mebibyte);
      assert.ok(start.every((byte) => byte === 0));
      const end = await readDisk(diskBytes - mebibyte, mebibyte);
      assert.ok(end.every((byte) => byte === 0));
    });

    test('provisioned with another image it runs that', async () => {
      await lab.selvedge('machine', 'provision', name, '--image', nextImage, '--hostname', `host-${claim}`);
      await provisioned(nextImage);
      await waitConsole(new RegExp(`${nextImage}.*host-${claim}|host-${claim}.*${nextImage}`, 's'));
      await assertWritten(given().images[nextImage]);
    });

    test('its timeline shows legal steps only, and no secret was written anywhere', async () => {
      const machine = await lab.client.get<Machine>(machines, { name });
      const steps = (machine.status?.timeline ?? []).filter(({ reason }) => reason === 'PhaseChanged');
      assert.ok(steps.length > 5);
      const phases = steps.map(({ message }) => /(\w+) (?:→|->|to) (\w+)/.exec(message)?.slice(1) ?? []);
      for (const [from, to] of phases) {
        assert.ok(isLegalTransition(from as MachinePhase, to as MachinePhase), `${from} → ${to}`);
      }
      const logs = `${await lab.agentLog()}${await readFile(join(lab.folder, 'hub.log'), 'utf8')}`;
      assert.ok(!logs.includes('not-for-logs'));
      assert.ok(!JSON.stringify(machine).includes('not-for-logs'));
      const claims = await lab.client.find<MachineClaim>(machineClaims, {
        namespace: 'default',
        name: claim,
      });
      assert.equal(claims?.status?.machineName ?? name, name);
    });

    const changeClaim = async (change: Partial<MachineClaim['spec']>) => {
      const present = await lab.client.get<MachineClaim>(machineClaims, {
        namespace: 'default',
        name: claim,
      });
      const spec = { ...present.spec, ...change };
      await lab.client.update<MachineClaim>(machineClaims, { ...present, spec });
    };
    const waitOff = () =>
      poll(async () => (box.machine.isOn() ? undefined : true), {
        seconds: 120,
        what: `${name} is off`,
        why: () => lab.describe(name),
      });
    const waitConsole = (pattern: RegExp) =>
      poll(async () => (pattern.test(await box.machine.lastLines(60)) ? true : undefined), {
        seconds: 120,
        what: `the console of ${name} shows ${pattern}`,
        why: () => box.machine.lastLines(60),
      });
    const readDisk = (position: number, length: number) =>
      readRange(box.machine.diskFiles[0] ?? '', position, length);
    /** Its first partition, which nobody changes after it was written, is that of the image. */
    const assertWritten = async (image: string) => {
      const length = 16 * mebibyte;
      const [written, wanted] = [await readDisk(mebibyte, length), await readRange(image, mebibyte, length)];
      assert.ok(written.equals(wanted), 'the disk differs from the image');
    };
  });
}

async function readRange(file: string, position: number, length: number): Promise<Buffer> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, position);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
