import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';
import { requireTool, SkippingClock } from '@selvedge/testkit';
import { ImageFolder } from './testing/image-folder.ts';
import { openLibrary, readDisk, temporaryFolder, until } from './testing/store-under-test.ts';

const mib = 1024 * 1024;
const program = join(import.meta.dirname, 'testing/unpacking-program.ts');
const kills = 6;

test('killed at any instant while it unpacks, nothing wrong is ever taken for whole', async (t) => {
  const folder = await temporaryFolder(t);
  const artifacts = new ImageFolder(join(folder, 'artifacts'));
  const directory = join(folder, 'images');
  const bytes = randomBytes(40 * mib);
  const image = await artifacts.add(zstdCompressSync(bytes), { name: 'debian' });
  const signal = new AbortController().signal;
  const request = { reference: image.reference, namespace: 'default', architecture: 'amd64' } as const;
  const layers = await artifacts.bring({ ...request, mayFetch: false, onProgress: () => {}, signal });
  const told = join(folder, 'told.json');
  await writeFile(told, JSON.stringify({ image, layer: layers?.[0] }));
  for (let kill = 0; kill < kills; kill++) {
    const child = spawn(process.execPath, [program, directory, told], { stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await until('it writes', async () => (await readdir(directory).catch(() => [])).length > 0 || undefined);
    await wait(randomInt(400));
    child.kill('SIGKILL');
    await ended;
    const library = await openLibrary(t, { directory, artifacts });
    const disk = await library.find(image);
    if (disk !== undefined) assert.ok(bytes.equals(await readDisk(disk)));
    assert.equal((await readdir(directory)).length, disk === undefined ? 0 : 2);
    await library.close();
    if (kill % 2 === 0) await rm(directory, { recursive: true });
  }
  const library = await openLibrary(t, { directory, artifacts });
  library.setWanted([image], [], false);
  const disk = await until('it is whole', () => library.find(image));
  assert.ok(bytes.equals(await readDisk(disk)));
});

test(
  'on a disk that is full it says so, leaves nothing behind, and goes on when there is room',
  requireTool('root', 'mount'),
  async (t) => {
    const folder = await temporaryFolder(t);
    const small = join(folder, 'small');
    await mkdir(small);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', small], {
      encoding: 'utf8',
    });
    assert.equal(mounted.status, 0, mounted.stderr);
    const clock = new SkippingClock();
    const artifacts = new ImageFolder(join(folder, 'artifacts'));
    const directory = join(small, 'images');
    const library = await openLibrary(t, { directory, artifacts, clock });
    await using _mounted = {
      async [Symbol.asyncDispose]() {
        await library.close();
        spawnSync('umount', ['-l', small]);
      },
    };
    const bytes = randomBytes(16 * mib);
    const image = await artifacts.add(bytes, { name: 'debian' });
    await writeFile(join(small, 'other'), randomBytes(12 * mib));
    library.setWanted([image], [], true);
    const fault = await until('it has failed', () => library.fault(image));
    assert.match(fault.message, /does not fit.*free some space/);
    assert.deepEqual(await readdir(directory), []);
    await rm(join(small, 'other'));
    clock.skip(60_000);
    const disk = await until('it is whole', () => library.find(image));
    assert.ok(bytes.equals(await readDisk(disk)));
  },
);
