import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MachineImage, machineImages } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { type Hub, startHub } from '@selvedge/hub';
import { type Captured, runCaptured } from '../testing/run-captured.ts';

describe('selvedge machine-image on a hub', () => {
  let folder = '';
  let file = '';
  let hub: Hub;
  const cli = (...args: string[]): Promise<Captured> =>
    runCaptured(['machine-image', ...args], {
      env: { SELVEDGE_KUBECONFIG: hub.kubeconfigPath, HOME: folder, TMPDIR: folder },
    });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'selvedge-image-cli-'));
    file = join(folder, 'disk.img');
    await writeFile(file, Buffer.concat([randomBytes(300_000), Buffer.alloc(2 ** 20 - 300_000)]));
    hub = await startHub({
      data: join(folder, 'hub'),
      listen: '127.0.0.1:0',
      logger: createLogger({ level: 'silent' }),
    });
  });
  after(async () => {
    await hub.close();
    await rm(folder, { recursive: true });
  });

  test('push puts the disk into the registry of the hub, and the image names it by digest', async () => {
    assert.match((await cli('list')).stdout, /No machine images/);
    const pushed = await cli(
      'push',
      'tiny',
      file,
      '--boot-mode',
      'uefi',
      '--confirmation',
      'Boot',
      '--description',
      'for tests',
    );
    assert.equal(pushed.code, 0, pushed.stderr);
    assert.match(pushed.stdout, /tiny: .* in the registry, 1\.0 MiB on a disk/);
    const { spec } = await hub.client.get<MachineImage>(machineImages, { name: 'tiny' });
    assert.match(spec.reference, /^127\.0\.0\.1:\d+\/default\/tiny@sha256:[0-9a-f]{64}$/);
    assert.deepEqual(
      [spec.format, spec.diskBytes, spec.bootModes, spec.confirmation, spec.namespace],
      ['Raw', 2 ** 20, ['UEFI'], 'Boot', 'default'],
    );
    assert.ok((spec.sizeBytes ?? 0) < 400_000, 'zeros are packed');
    for (let tries = 0; !/tiny +Disk +amd64 +UEFI +Raw .* True/.test((await cli('list')).stdout); tries++) {
      if (tries === 200) assert.fail((await cli('list')).stdout);
      await sleep(50);
    }
  });

  test('a name stands for one content: pushing it again is refused before anything is sent', async () => {
    const again = await cli('push', 'tiny', file);
    assert.equal(again.code, 1);
    assert.match(
      again.stderr,
      /there is a machine image tiny already.*\n {2}Give the new one another name: tiny-2/,
    );
    const misnamed = await cli('push', 'Not A Name', file);
    assert.equal(misnamed.code, 2);
    assert.match(misnamed.stderr, /the name of the image must consist of lower case letters/);
  });

  test('what cannot be pushed is refused by what is wrong with it', async () => {
    const missing = await cli('push', 'other', join(folder, 'nothing.img'));
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /nothing\.img/);
    assert.equal((await cli('push', 'other', file, '--boot-mode', 'floppy')).code, 2);
    assert.equal((await cli('push', 'other', file, '--to', 'a b')).code, 2);
    assert.equal(
      (await cli('push', 'other', file, '--to', 'r.example/a/b', '--registry-user', 'me')).code,
      2,
    );
    assert.equal(await hub.client.find<MachineImage>(machineImages, { name: 'other' }), undefined);
  });
});
