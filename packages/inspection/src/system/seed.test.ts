import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { getTool, requireTool } from '@selvedge/testkit';
import { startTrial } from '../testing/start-trial.ts';
import type { TestRack } from '../testing/test-rack.ts';

const mebibyte = 1024 * 1024;
const needs = requireTool('busybox', 'sfdisk', 'mkfs.fat', 'mtools');
const allFiles = ['meta-data', 'user-data', 'vendor-data', 'network-config'];

interface Partition {
  readonly start: number;
  readonly size: number;
  readonly name?: string;
}

/** A box with a disk whose table came from an image of `imageBytes`. */
async function startWithTable(
  t: TestContext,
  table: { text: string; imageBytes: number; diskBytes: number },
) {
  const trial = await startTrial(t);
  const disk = trial.box.addDisk({ id: 'vda', bytes: table.imageBytes });
  execFileSync(getTool('sfdisk'), ['--quiet', disk], { input: table.text });
  trial.box.addDisk({ id: 'vda', bytes: table.diskBytes });
  trial.rack.seed.set('meta-data', 'instance-id: i-1\n');
  trial.rack.seed.set('user-data', '#cloud-config\n');
  const task = { task: 'seed', device: { id: 'vda', size: table.diskBytes }, files: allFiles } as const;
  return { ...trial, disk, task };
}

function partitionsOf(disk: string): Partition[] {
  const { partitiontable } = JSON.parse(
    execFileSync(getTool('sfdisk'), ['--json', disk], { encoding: 'utf8' }),
  ) as { partitiontable: { partitions: Partition[] } };
  return partitiontable.partitions;
}

/** Read by mtools: another reader than wrote the table, and on the disk itself. */
function readSeed(disk: string, partition: Partition | undefined, name: string): string {
  const at = `${disk}@@${(partition?.start ?? 0) * 512}`;
  return execFileSync(getTool('mtools'), ['-c', 'mtype', '-i', at, `::/${name}`], { encoding: 'utf8' });
}

for (const label of ['gpt', 'dos']) {
  test(
    `a seed goes to a new partition at the end of a larger disk (${label}), and again to the same one`,
    needs,
    async (t) => {
      const { rack, box, disk, task } = await startWithTable(t, {
        text: `label: ${label}\nstart=2048, size=16384\n`,
        imageBytes: 12 * mebibyte,
        diskBytes: 40 * mebibyte,
      });
      const answer = await rack.give(task);
      assert.equal(answer.status, 'ok', `${box.output} ${answer.fields.get('message')}`);
      assert.equal(answer.values.get('place'), 'partition CIDATA');
      const partitions = partitionsOf(disk);
      assert.equal(partitions.length, 2);
      assert.deepEqual([partitions[0]?.start, partitions[0]?.size], [2048, 16384], 'the image is as it was');
      assert.equal(readSeed(disk, partitions[1], 'user-data'), '#cloud-config\n');
      // The second table of a GPT moved to the end of this disk: sfdisk finds nothing to complain of.
      const check = execFileSync(getTool('sfdisk'), ['--verify', disk], { encoding: 'utf8', stdio: 'pipe' });
      assert.match(check, /No errors detected/);

      rack.seed.set('user-data', '#!/bin/sh\n');
      rack.seed.set('network-config', 'version: 2\n');
      assert.equal((await rack.give(task)).status, 'ok');
      assert.deepEqual(partitionsOf(disk), partitions);
      assert.equal(readSeed(disk, partitions[1], 'user-data'), '#!/bin/sh\n');
      assert.equal(readSeed(disk, partitions[1], 'network-config'), 'version: 2\n');
    },
  );
}

for (const label of ['gpt', 'dos']) {
  test(
    `power lost before the seed partition was filled: the next seed takes it (${label})`,
    needs,
    async (t) => {
      const { rack, disk, task } = await startWithTable(t, {
        text: `label: ${label}\nstart=2048, size=16384\n`,
        imageBytes: 12 * mebibyte,
        // No room for a second one.
        diskBytes: 20 * mebibyte,
      });
      assert.equal((await rack.give(task)).status, 'ok');
      const partitions = partitionsOf(disk);
      const file = openSync(disk, 'r+');
      writeSync(file, Buffer.alloc(mebibyte), 0, mebibyte, (partitions[1]?.start ?? 0) * 512);
      closeSync(file);
      const answer = await rack.give(task);
      assert.equal(answer.status, 'ok', answer.fields.get('message'));
      assert.deepEqual(partitionsOf(disk), partitions);
      assert.equal(readSeed(disk, partitions[1], 'user-data'), '#cloud-config\n');
    },
  );
}

test('on a disk with sectors of 4096 bytes the seed has such sectors as well', needs, async (t) => {
  const { rack, box, disk, task } = await startWithTable(t, {
    text: 'label: dos\nstart=2048, size=2048\n',
    imageBytes: 12 * mebibyte,
    diskBytes: 40 * mebibyte,
  });
  box.write('sys/block/vda/queue/logical_block_size', '4096\n');
  const answer = await rack.give(task);
  assert.equal(answer.status, 'ok', answer.fields.get('message'));
  // sfdisk takes a plain file for a disk with sectors of 512 bytes; where the file system lies is counted in those of the disk.
  const start = (partitionsOf(disk)[1]?.start ?? 0) * 4096;
  assert.equal(readFileSync(disk).readUInt16LE(start + 11), 4096);
  const at = `${disk}@@${start}`;
  const read = execFileSync(getTool('mtools'), ['-c', 'mtype', '-i', at, '::/user-data'], {
    encoding: 'utf8',
  });
  assert.equal(read, '#cloud-config\n');
});

test('a CIDATA partition that the image brings is used', needs, async (t) => {
  const { rack, disk, task } = await startWithTable(t, {
    text: 'label: gpt\nstart=2048, size=8192\nstart=10240, size=16384\n',
    imageBytes: 20 * mebibyte,
    diskBytes: 20 * mebibyte,
  });
  const fat = `${disk}.fat`;
  writeFileSync(fat, Buffer.alloc(8 * mebibyte));
  execFileSync(getTool('mkfs.fat'), ['-n', 'cidata', fat], { stdio: 'pipe' });
  execFileSync('dd', [`if=${fat}`, `of=${disk}`, 'bs=512', 'seek=10240', 'conv=notrunc', 'status=none']);
  assert.equal((await rack.give(task)).status, 'ok');
  assert.equal(readSeed(disk, partitionsOf(disk)[1], 'meta-data'), 'instance-id: i-1\n');
});

test(
  'a disk without room for a partition and without a root file system is refused with what to do',
  needs,
  async (t) => {
    const { rack, task } = await startWithTable(t, {
      text: 'label: dos\nstart=2048, size=22528\n',
      imageBytes: 12 * mebibyte,
      diskBytes: 12 * mebibyte,
    });
    const answer = await rack.give(task);
    assert.equal(answer.fields.get('reason'), 'SeedFailed');
    assert.match(answer.fields.get('message') ?? '', /use a larger disk or a smaller image/);
  },
);

test('a rack without user data, or with another file than a seed has, fails the task', needs, async (t) => {
  const { rack, task } = await startWithTable(t, {
    text: 'label: dos\nstart=2048, size=8192\n',
    imageBytes: 12 * mebibyte,
    diskBytes: 40 * mebibyte,
  });
  assert.equal((await rack.give({ ...task, files: ['../init'] })).fields.get('reason'), 'SeedFailed');
  withoutUserData(rack);
  assert.equal((await rack.give(task)).fields.get('reason'), 'SeedFailed');
});

function withoutUserData(rack: TestRack): void {
  rack.seed.delete('user-data');
}
