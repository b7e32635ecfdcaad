import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, renameSync, rmSync, symlinkSync, writeSync } from 'node:fs';
import { uptime as systemUptime } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { imageChunkBytes } from '@selvedge/api';
import { requireTool } from '@selvedge/testkit';
import { startTrial } from '../testing/start-trial.ts';
import type { TestRack } from '../testing/test-rack.ts';

const mebibyte = 1024 * 1024;
const diskBytes = 32 * mebibyte;
const device = { id: 'sda', size: diskBytes, serial: 'S 1' };

/** Data, a chunk of zeros, data, and half a chunk at the end. */
function imageOf(chunks: number): Buffer {
  const image = randomBytes(chunks * imageChunkBytes - imageChunkBytes / 2);
  image.fill(0, imageChunkBytes, 2 * imageChunkBytes);
  return image;
}

const writeTask = (rack: TestRack, resume = false) =>
  ({
    task: 'write',
    device,
    diskBytes: rack.image.length,
    chunks: Math.ceil(rack.image.length / imageChunkBytes),
    chunkBytes: imageChunkBytes,
    resume,
  }) as const;

async function startWithOldData(t: TestContext) {
  const trial = await startTrial(t, [{ id: 'sda', bytes: diskBytes, serial: ' S 1 \n' }]);
  const disk = openSync(trial.box.disk('sda'), 'r+');
  writeSync(disk, Buffer.alloc(diskBytes, 0xaa));
  closeSync(disk);
  return trial;
}

const chunksOf = (requests: readonly string[]) =>
  requests.filter((request) => request.includes('/image/chunk/')).map((it) => Number(it.split('/').at(-1)));
const fetchedChunks = (rack: TestRack) => chunksOf(rack.requests);

test(
  'an image is written whole, zeros too, and an old table at the end of a larger disk goes',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithOldData(t);
    rack.image = imageOf(4);
    const answer = await rack.give(writeTask(rack));
    assert.equal(answer.status, 'ok', box.output);
    assert.deepEqual(Object.fromEntries(answer.values), { 'chunks-fetched': '3', 'chunks-kept': '0' });
    const disk = readFileSync(box.disk('sda'));
    assert.ok(disk.subarray(0, rack.image.length).equals(rack.image));
    assert.ok(disk.subarray(-mebibyte).every((byte) => byte === 0));
    assert.equal(disk[diskBytes / 2], 0xaa, 'what lies between is left alone');
    // A fresh inventory came before the answer.
    assert.equal(rack.inventories.length, 2);
  },
);

test(
  'a box that lost power in the middle of writing fetches only what is not on its disk yet',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithOldData(t);
    rack.image = imageOf(6);
    // The fourth chunk never comes, so the plug is pulled while three chunks of data or fewer are there.
    rack.chunkFaults.push(undefined, undefined, ...Array.from({ length: 1000 }, () => 503 as const));
    void rack.give(writeTask(rack));
    while (fetchedChunks(rack).length < 4) await delay(50, undefined, { signal: t.signal });
    await box.unplug();
    rack.chunkFaults.length = 0;
    rack.forgetSession();
    const answer = rack.give(writeTask(rack, true));
    box.boot(rack);
    assert.equal((await answer).status, 'ok', box.output);
    assert.ok(readFileSync(box.disk('sda')).subarray(0, rack.image.length).equals(rack.image));
    assert.deepEqual((await answer).values.get('chunks-kept'), '2');
    // What the box had asked for before may have been heard after its plug was pulled.
    const { requests } = rack;
    const since = requests.slice(requests.lastIndexOf('POST /machine/v1/session'));
    assert.deepEqual(chunksOf(since), [3, 4, 5]);
  },
);

test('a chunk that comes damaged or cut is fetched again', requireTool('busybox'), async (t) => {
  const { rack, box } = await startWithOldData(t);
  rack.image = imageOf(3);
  rack.chunkFaults.push('damaged', 'cut', 503);
  const answer = await rack.give(writeTask(rack));
  assert.equal(answer.status, 'ok', box.output);
  assert.ok(readFileSync(box.disk('sda')).subarray(0, rack.image.length).equals(rack.image));
});

test(
  'a chunk that never matches its digest is an ImageMismatch, and is not written',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithOldData(t);
    rack.image = imageOf(3);
    rack.chunkFaults.push('damaged', 'damaged', 'damaged');
    const answer = await rack.give(writeTask(rack));
    assert.equal(answer.fields.get('reason'), 'ImageMismatch');
    assert.equal(readFileSync(box.disk('sda'))[0], 0xaa);
  },
);

test('another disk than the rack saw is not written to', requireTool('busybox'), async (t) => {
  const { rack, box } = await startWithOldData(t);
  rack.image = imageOf(3);
  const wrong = [
    { ...device, serial: 'S 2' },
    { ...device, size: diskBytes + 512 },
    { ...device, id: 'sdb' },
    { ...device, id: '../dev/sda' },
  ];
  for (const other of wrong) {
    const answer = await rack.give({ ...writeTask(rack), device: other });
    assert.equal(answer.fields.get('reason'), 'DiskNotFound', other.id);
  }
  const small = await rack.give({ ...writeTask(rack), diskBytes: diskBytes + 512 });
  assert.equal(small.fields.get('reason'), 'DiskTooSmall');
  assert.ok(readFileSync(box.disk('sda')).every((byte) => byte === 0xaa));
});

test(
  'writing stops when the rack says that the order has changed, and asks for the next task',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithOldData(t);
    rack.image = imageOf(6);
    rack.chunkFaults.push(...Array.from({ length: 1000 }, () => 503 as const));
    rack.progressAnswer = 'abort';
    void rack.give(writeTask(rack));
    while (fetchedChunks(rack).length < 1) await delay(50, undefined, { signal: t.signal });
    const next = await rack.give({ task: 'collect' });
    assert.equal(next.status, 'ok', box.output);
  },
);

for (const [imageSectors, diskSectors] of [
  [512, 4096],
  [4096, 512],
] as const) {
  test(
    `an image for sectors of ${imageSectors} bytes is not begun on a disk with ${diskSectors}`,
    requireTool('busybox'),
    async (t) => {
      const { rack, box } = await startWithOldData(t);
      box.write('sys/block/sda/queue/logical_block_size', `${diskSectors}\n`);
      rack.image = imageOf(4);
      rack.image.write('EFI PART', imageSectors);
      const refused = await rack.give(writeTask(rack));
      assert.equal(refused.fields.get('reason'), 'ImageMismatch', box.output);
      assert.ok(readFileSync(box.disk('sda')).every((byte) => byte === 0xaa));
      box.write('sys/block/sda/queue/logical_block_size', `${imageSectors}\n`);
      assert.equal((await rack.give(writeTask(rack))).status, 'ok', box.output);
    },
  );
}

test(
  'zeros that the disk does not give back fail the write, also when nothing can be read at all',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithOldData(t);
    rmSync(box.disk('sda'));
    symlinkSync('/dev/null', box.disk('sda'));
    rack.image = Buffer.alloc(imageChunkBytes);
    assert.equal((await rack.give(writeTask(rack))).fields.get('reason'), 'DiskError', box.output);
  },
);

test(
  'reading back is progress too: a box that is long at it is not stuck',
  requireTool('busybox'),
  async (t) => {
    const { rack, box } = await startWithOldData(t);
    rack.image = imageOf(8);
    let uptime = Math.ceil(systemUptime());
    // The box tells every two seconds of its own clock, which runs fast here.
    const clock = setInterval(() => {
      box.write('proc/uptime.next', `${(uptime += 5)}.00 1.00\n`);
      // At once: the box never sees an empty clock.
      renameSync(join(box.root, 'proc/uptime.next'), join(box.root, 'proc/uptime'));
    }, 5);
    t.after(() => clearInterval(clock));
    // Before the box goes, which it would make anew.
    const answer = await rack.give(writeTask(rack)).finally(() => clearInterval(clock));
    assert.equal(answer.status, 'ok', box.output);
    const done = rack.progress
      .flatMap((text) => /^step Writing\ndone (\d+)$/m.exec(text)?.[1] ?? [])
      .map(Number);
    assert.deepEqual(
      done,
      done.toSorted((a, b) => a - b),
    );
    assert.equal(done.at(-1), rack.image.length);
    const back = done.filter((bytes) => bytes > rack.image.length / 2);
    assert.ok(new Set(back).size >= 4, done.join());
  },
);
