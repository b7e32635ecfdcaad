import assert from 'node:assert/strict';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { UserNetwork, userNetworkHost, VirtualMachine } from '@selvedge/machine-lab';
import { requireTool } from '@selvedge/testkit';
import type { BootDecision } from './machine-desk.ts';
import { BootBench } from './testing/boot-bench.ts';

const path = process.env['PATH'] ?? '';
/** What its disk prints on the serial port when it is booted. */
const diskSays = 'DISK';
const patienceMs = 120_000;

describe('a real iPXE and the scripts of the rack', requireTool('qemu-system-x86_64', 'setpriv'), () => {
  let folder: string;
  let bench: BootBench;
  let machine: VirtualMachine;

  before(async () => {
    bench = await BootBench.start();
  });
  after(() => bench.close());

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'svg-ipxe-'));
    bench.desk.requests.length = 0;
    bench.desk.fetched.length = 0;
    machine = await VirtualMachine.create({
      folder,
      box: {
        uuid: '6f6b1c1e-0000-4000-8000-000000000007',
        serial: 'SN "7" || reboot',
        manufacturer: 'Acme (100% #1)',
        model: 'Edge | Box',
        firmware: 'BIOS',
        bootOrder: 'DiskFirst',
        memoryMebibytes: 128,
      },
      disks: [{ sizeBytes: 1024 * 1024, serial: 'D1' }],
      macAddresses: ['52:54:00:aa:07:01'],
      network: new UserNetwork(`http://${userNetworkHost}:${bench.port}/ipxe/boot.ipxe`),
      path,
    });
    const disk = await open(join(folder, 'disk0.raw'), 'r+');
    await disk.write(bootSector(diskSays), 0, 512, 0);
    await disk.close();
  });
  afterEach(async () => {
    await machine.close();
    await rm(folder, { recursive: true, force: true });
  });

  const bootsItsDisk = async (...decisions: (BootDecision | Error)[]) => {
    bench.desk.decisions = decisions;
    await machine.turnOn('Network');
    for (let waited = 0; waited < patienceMs; waited += 200) {
      const said = await readFile(machine.serialLog, 'latin1').catch(() => '');
      if (said.includes(diskSays)) return;
      await systemClock.sleep(200);
    }
    assert.fail(`it never booted its disk; asked: ${JSON.stringify(bench.desk.requests)}`);
  };

  test('waits, asks again with the same words, loads the system, and asks again when that fails', async () => {
    await rm(join(bench.folder, 'initrd.img'));
    await bootsItsDisk(
      { boot: 'Wait', seconds: 1, attempts: 5, message: 'Accept "me" && ${uuid}' },
      { boot: 'System', nonce: 'n1', kernelArguments: ['console=ttyS0'] },
      { boot: 'Disk', method: 'Exit' },
    );
    assert.equal(bench.desk.requests.length, 3);
    for (const request of bench.desk.requests) {
      assert.deepEqual(
        { ...request, address: '' },
        {
          macAddress: '52:54:00:aa:07:01',
          uuid: '6f6b1c1e-0000-4000-8000-000000000007',
          serial: 'SN "7" || reboot',
          manufacturer: 'Acme (100% #1)',
          product: 'Edge | Box',
          platform: 'BIOS',
          architecture: 'amd64',
          address: '',
        },
      );
    }
    assert.ok(bench.desk.fetched.some((fetched) => fetched.endsWith('vmlinuz')));
  });

  for (const method of ['Exit', 'Sanboot', 'NotFound'] as const) {
    test(`boots its own disk when told so by ${method}`, async () => {
      await bootsItsDisk({ boot: 'Disk', method });
      assert.equal(bench.desk.requests.length, 1);
    });
  }

  test('boots its own disk when the rack never comes to a decision', async () => {
    await bootsItsDisk({ boot: 'Wait', seconds: 1, attempts: 2, message: 'x' });
    assert.equal(bench.desk.requests.length, 3);
  });
});

/** Prints `text` on the first serial port, then stands still. */
function bootSector(text: string): Buffer {
  const sector = Buffer.alloc(512);
  const print = [...Buffer.from(`${text}\n`, 'latin1')].flatMap((char) => [0xb0, char, 0xee]);
  sector.set([0xba, 0xf8, 0x03, ...print, 0xf4, 0xeb, 0xfd]);
  sector.set([0x55, 0xaa], 510);
  return sector;
}
