import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { imageChunkBytes, selectRootDevice } from '@selvedge/api';
import { requireTool } from '@selvedge/testkit';
import { buildInspectionSystem } from './image/build-inspection-system.ts';
import { QemuBox, type QemuBoot } from './testing/qemu-box.ts';
import { TestRack } from './testing/test-rack.ts';
import { buildTinyOs } from './tiny-os/build-tiny-os.ts';

const needs = requireTool(
  'qemu-system-x86_64',
  'setpriv',
  'apt-get',
  'dpkg',
  'sfdisk',
  'mkfs.fat',
  'mcopy',
  'syslinux',
);
// The packages that the other tests of machines build of.
const cacheDir = join(import.meta.dirname, '../../../.selvedge/machine-cache/selvedge/inspection');
const diskBytes = 32 * 1024 * 1024;

test(
  'a box is inspected, tested, erased and written, loses power in between, and ends as a running system',
  needs,
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'selvedge-inspection-'));
    mkdirSync(cacheDir, { recursive: true });
    const disk = join(folder, 'disk.img');
    writeFileSync(disk, `${'\0'.repeat(512)}EFI PART`);
    truncateSync(disk, diskBytes);
    const directory = join(folder, 'system');
    const [{ files }] = await Promise.all([
      buildInspectionSystem({ architecture: 'amd64', kernel: 'cloud', outputDir: directory, cacheDir }),
      buildTinyOs({ outputFile: join(folder, 'tiny.img'), cacheDir, name: 'of the test' }),
    ]);
    assert.deepEqual(
      files.map(({ name }) => name),
      ['vmlinuz', 'initrd.img', 'packages.txt', 'undionly.kpxe', 'snponly.efi'],
    );

    const rack = await TestRack.start();
    const box = new QemuBox(folder, disk);
    t.after(async () => {
      await box.unplug();
      await rack.close();
      rmSync(folder, { recursive: true });
    });
    rack.image = readFileSync(join(folder, 'tiny.img'));
    const startSystem = async () => {
      const kernelLine = `quiet console=ttyS0 selvedge.rack=http://10.0.2.2:${rack.port} selvedge.boot=${rack.nonce} BOOTIF=01-52-54-00-AA-BB-02`;
      const before = rack.sessions.length;
      const hasCalled = { signal: t.signal, isSeen: () => rack.sessions.length > before };
      await startUntil(box, { system: { directory, kernelLine } }, hasCalled);
    };

    await t.test('it shows what it is made of', async () => {
      await startSystem();
      assert.equal((await rack.give({ task: 'collect' })).status, 'ok', box.console());
      const { resources, networks } = rack.inventories.at(-1) ?? assert.fail('no inventory');
      assert.deepEqual(
        [resources.system.uuid, resources.system.serial, resources.system.vendor, resources.system.efi],
        ['6c1b7f3e-1111-4222-8333-944455556666', 'S1', 'Acme', false],
      );
      assert.equal(resources.memory.total, 256 * 1024 * 1024);
      assert.equal(resources.network.cards[0]?.ports[0]?.address, '52:54:00:aa:bb:02');
      assert.equal(networks['eth0']?.addresses[0]?.address, '10.0.2.15');
      const chosen = selectRootDevice(resources.storage.disks, { serialNumber: 'DISK1' }, rack.image.length);
      assert.ok('disk' in chosen);
      assert.deepEqual([chosen.disk.size, chosen.disk.signature], [diskBytes, 'gpt']);
      assert.match(rack.sessions[0] ?? '', /^mac 52:54:00:aa:bb:02$/m);
    });

    const device = { id: 'vda', size: diskBytes, serial: 'DISK1' };
    await t.test('it runs scripts of the site and its own tests', async () => {
      rack.scripts.set(
        'year',
        '#!/bin/bash\n[[ $(date +%Y) == 2001 ]] && printf "results:\\n  shell: bash\\n" >"$RESULT_PATH"\n',
      );
      const script = {
        task: 'script',
        name: 'year',
        timeoutSeconds: 120,
        forHardware: [],
        mayReboot: false,
        hasStarted: false,
      } as const;
      const { status, values } = await rack.give(script);
      assert.deepEqual([status, values.get('shell')], ['ok', 'bash']);
      assert.equal((await rack.give({ task: 'test', name: 'network', timeoutSeconds: 300 })).status, 'ok');
      const memory = await rack.give({ task: 'test', name: 'memory', timeoutSeconds: 2 });
      assert.match(memory.status, /^(ok|timedout)$/);
      assert.match(memory.output, /memtester version/);
    });

    await t.test('it erases its disk', async () => {
      assert.equal(
        (await rack.give({ task: 'erase', mode: 'secure', devices: [device] })).status,
        'ok',
        rack.log,
      );
      assert.equal(rack.inventories.at(-1)?.resources.storage.disks[0]?.signature, undefined);
      assert.ok(readFileSync(disk).every((byte) => byte === 0));
    });

    const chunks = Math.ceil(rack.image.length / imageChunkBytes);
    const write = {
      task: 'write',
      device,
      diskBytes: rack.image.length,
      chunks,
      chunkBytes: imageChunkBytes,
    } as const;
    await t.test('it loses power in the middle of writing and goes on where it was', async () => {
      rack.chunkFaults.push(undefined, undefined, ...Array.from({ length: 1000 }, () => 503 as const));
      const asked = () => rack.requests.filter((request) => request.includes('/image/chunk/')).length;
      void rack.give({ ...write, resume: false });
      while (asked() < 3) await delay(100, undefined, { signal: t.signal });
      await box.unplug();
      rack.chunkFaults.length = 0;
      rack.forgetSession();
      const answer = rack.give({ ...write, resume: true });
      await startSystem();
      assert.equal((await answer).status, 'ok', rack.log);
      assert.equal((await answer).values.get('chunks-kept'), '2');
      assert.ok(readFileSync(disk).subarray(0, rack.image.length).equals(rack.image));
    });

    await t.test('it boots from its disk with its seed, and confirms itself', async () => {
      rack.seed.set('meta-data', 'instance-id: i-1\nlocal-hostname: shop-7\n');
      rack.seed.set('user-data', '#!/bin/sh\necho this is $(hostname)\n');
      rack.seed.set(
        'vendor-data',
        `#cloud-config\nphone_home:\n  url: http://10.0.2.2:${rack.port}/confirm/v1/abc_DEF-1\n`,
      );
      const seed = await rack.give({
        task: 'seed',
        device,
        files: ['meta-data', 'user-data', 'vendor-data'],
      });
      assert.equal(seed.status, 'ok', seed.fields.get('message'));
      const { status } = await rack.give({ task: 'rescue', authorizedKeys: ['ssh-ed25519 AAAA nobody'] });
      assert.equal(status, 'ok', 'the ssh server of the system starts');
      assert.equal((await rack.give({ task: 'reboot' })).status, 'ok');
      await box.ended();
      const runs = { signal: t.signal, isSeen: () => box.console().includes('tiny OS is up') };
      await startUntil(box, {}, runs);
      assert.deepEqual(rack.confirmations, ['/confirm/v1/abc_DEF-1 instance_id=i-1&hostname=shop-7']);
      assert.match(box.console(), /this is shop-7/);
    });
  },
);

/** A kernel under TCG stops at its very beginning now and then; what a rack does then is done here too. */
async function startUntil(
  box: QemuBox,
  boot: QemuBoot,
  { isSeen, signal }: { readonly isSeen: () => boolean; readonly signal: AbortSignal },
): Promise<void> {
  for (let attempt = 0; attempt < 4; attempt += 1) {
    box.start(boot);
    for (let waited = 0; waited < 180; waited += 1) {
      await delay(1000, undefined, { signal });
      if (isSeen()) return;
    }
    await box.unplug();
  }
  assert.fail(box.console());
}
