import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { requireTool } from '@selvedge/testkit';
import { UserNetwork, userNetworkHost } from '../network/user-network.ts';
import { VirtualMachine } from './virtual-machine.ts';

const firstScript = '#!ipxe\nchain next.ipxe?serial=${serial:uristring}&mac=${net0/mac:hexhyp}\n';
const path = process.env['PATH'] ?? '';

describe('a box under QEMU', requireTool('qemu-system-x86_64', 'setpriv'), () => {
  let folder: string;
  let server: Server;
  /** What it asked for, and who waits for it. */
  let asked: string[];
  let script: string;
  let machine: VirtualMachine;

  before(() => {
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      server.emit('asked');
      response.end(request.url === '/boot.ipxe' ? firstScript : script);
    }).listen(0, '127.0.0.1');
  });
  after(() => server.close());

  beforeEach(async () => {
    asked = [];
    script = '#!ipxe\nsleep 600\n';
    folder = await mkdtemp(join(tmpdir(), 'svg-box-'));
    const { port } = server.address() as AddressInfo;
    machine = await VirtualMachine.create({
      folder,
      box: {
        uuid: '6f6b1c1e-0000-4000-8000-000000000001',
        serial: 'SN,1',
        manufacturer: 'Acme',
        model: 'Edge Box',
        firmware: 'BIOS',
        bootOrder: 'DiskFirst',
        memoryMebibytes: 128,
      },
      disks: [{ sizeBytes: 8 * 1024 * 1024, serial: 'D1' }],
      macAddresses: ['52:54:00:aa:00:01'],
      network: new UserNetwork(`http://${userNetworkHost}:${port}/boot.ipxe`),
      path,
    });
  });
  afterEach(async () => {
    await machine.close();
    await rm(folder, { recursive: true, force: true });
  });

  const untilAsked = async (count: number) => {
    while (asked.length < count) await once(server, 'asked');
  };

  test('with an empty disk it asks the network, as the box that it is', async () => {
    const powers: boolean[] = [];
    machine.onPower((isOn) => powers.push(isOn));
    await machine.turnOn('Default');
    assert.ok(machine.isOn());
    await untilAsked(2);
    assert.deepEqual(asked, ['/boot.ipxe', '/next.ipxe?serial=SN,1&mac=52-54-00-aa-00-01']);
    assert.match(await machine.lastLines(), /iPXE/);
    await machine.turnOff({ isGraceful: false });
    assert.ok(!machine.isOn());
    assert.deepEqual(powers, [true, false]);
  });

  test('turned on twice it is one, reset it asks again, and pulled out it is off at once', async () => {
    await Promise.all([machine.turnOn('Network'), machine.turnOn('Network')]);
    const { pid } = machine;
    await machine.turnOn('Network');
    assert.equal(machine.pid, pid);
    await untilAsked(2);
    await machine.reset('Network');
    assert.ok(machine.isOn());
    assert.notEqual(machine.pid, pid);
    await untilAsked(4);
    await machine.turnOff({ isGraceful: false });
    assert.ok(!machine.isOn());
    assert.equal(machine.pid, undefined);
  });

  test('what it is told to boot holds for one start: its own restart goes by the order of the firmware', async () => {
    // The first sector of the disk turns it off: QEMU's debug exit is not there, so by APM.
    await writeBootSector(machine.diskFiles[0] ?? '');
    script = '#!ipxe\nreboot\n';
    const isOff = new Promise<void>((resolve) => machine.onPower((isOn) => (isOn ? undefined : resolve())));
    await machine.turnOn('Network');
    await isOff;
    assert.equal(asked.length, 2);
    assert.equal(machine.restarts, 1);
  });

  test('its disks are sparse and stay when it is off', async () => {
    const { size, blocks } = await stat(machine.diskFiles[0] ?? '');
    assert.equal(size, 8 * 1024 * 1024);
    assert.ok(blocks * 512 < size);
  });
});

/** Turns the box off by APM: connect, version 1.2, power state of all devices off. */
async function writeBootSector(file: string): Promise<void> {
  const { open } = await import('node:fs/promises');
  const code = Buffer.from([
    184, 1, 83, 49, 219, 205, 21, 184, 14, 83, 49, 219, 185, 2, 1, 205, 21, 184, 7, 83, 187, 1, 0, 185, 3, 0,
    205, 21, 244, 235, 253,
  ]);
  const sector = Buffer.alloc(512);
  code.copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  const handle = await open(file, 'r+');
  try {
    await handle.write(sector, 0, 512, 0);
  } finally {
    await handle.close();
  }
}
