import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash, randomInt } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { requireTool } from '@selvedge/testkit';
import { DepotError } from './depot.ts';
import { openTestDepot, request, temporaryDirectory } from './testing/depot-under-test.ts';
import { ImageRegistry } from './testing/image-registry.ts';

const mib = 2 ** 20;
const program = join(import.meta.dirname, 'testing/fetching-program.ts');
const kills = 5;

/** Every blob that counts is what its name says. */
async function assertSound(directory: string): Promise<void> {
  const folder = join(directory, 'blobs', 'sha256');
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.endsWith('.tmp')) continue;
    assert.equal(
      createHash('sha256')
        .update(await readFile(join(folder, name)))
        .digest('hex'),
      name,
    );
  }
}

test('killed at any instant while it fetches, the depot has nothing wrong and goes on where it was', async (t) => {
  await using registry = await ImageRegistry.start();
  const directory = await temporaryDirectory(t);
  registry.addImage('shop/till:1', [5 * mib, 2 * mib, mib, mib]);
  const image = `${registry.address}/shop/till:1`;
  registry.pauseMs = 15;
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(process.execPath, [program, directory, registry.address, image], { stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const before = registry.blobBytes;
    while (registry.blobBytes < before + mib / 2 && child.exitCode === null) await wait(5);
    await wait(randomInt(300));
    child.kill('SIGKILL');
    await ended;
    await assertSound(directory);
  }
  registry.pauseMs = 0;
  const depot = await openTestDepot({ directory, insecureRegistries: [registry.address] });
  t.after(() => depot.close());
  assert.ok(await depot.ensure(image, request()));
  await assertSound(directory);
  // What a process has received but not written yet is lost with it: at most what lies in the buffers of its connections.
  const whole = 9 * mib;
  assert.ok(registry.blobBytes < whole + kills * 3 * mib, `${registry.blobBytes} bytes for ${whole}`);
  assert.deepEqual(await readdir(join(directory, 'partial')), []);
});

test(
  'on a disk that fills up in mid-fetch it says so, keeps what it has, and goes on when there is space',
  requireTool('root', 'mount'),
  async (t) => {
    await using registry = await ImageRegistry.start();
    const disk = await temporaryDirectory(t);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', disk], {
      encoding: 'utf8',
    });
    assert.equal(mounted.status, 0, mounted.stderr);
    const directory = join(disk, 'depot');
    await mkdir(directory);
    const depot = await openTestDepot({
      directory,
      insecureRegistries: [registry.address],
      policy: { maxBytes: 100 * mib },
    });
    await using _mounted = {
      async [Symbol.asyncDispose]() {
        await depot.close();
        spawnSync('umount', ['-l', disk]);
      },
    };
    const name = (tag: string) => `${registry.address}/shop/till:${tag}`;
    registry.addImage('shop/till:old', [mib]);
    await depot.ensure(name('old'), request());
    await depot.setNeeded('till', [name('old')]);
    registry.addImage('shop/till:new', [6 * mib]);
    registry.pauseMs = 10;
    const before = registry.blobBytes;
    let isOver = false;
    const fetching = depot
      .ensure(name('new'), request())
      .catch((error: unknown) => error)
      .finally(() => (isOver = true));
    while (!isOver && registry.blobBytes < before + 2 * mib) await wait(5);
    await writeFile(join(disk, 'ballast'), Buffer.alloc(9 * mib)).catch(() => {});
    const error = await fetching;
    assert.ok(error instanceof DepotError, String(error));
    assert.equal(error.reason, 'StorageFull');
    assert.match(error.message, /free some space/);
    assert.ok(await depot.find(name('old')), 'what is needed is untouched');
    await assertSound(directory);
    const sent = registry.blobBytes;
    await rm(join(disk, 'ballast'));
    assert.ok(await depot.ensure(name('new'), request()));
    assert.ok(registry.blobBytes - sent < 6 * mib, 'what had arrived before counts');
    await assertSound(directory);
  },
);
