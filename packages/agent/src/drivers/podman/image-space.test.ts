import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { ImageSpace, InsufficientSpaceError } from './image-space.ts';

const mebibyte = 2 ** 20;

describe('room for images', () => {
  test('is asked against the reserve, and against what an image took before', async () => {
    const space = new ImageSpace({ folders: [tmpdir()], reserveBytes: mebibyte, clock: systemClock });
    await space.assertRoomFor('a');
    space.learn('a', 2 ** 60);
    await assert.rejects(space.assertRoomFor('a'), (error) => {
      assert.ok(error instanceof InsufficientSpaceError);
      assert.match(
        error.message,
        /^image a of at least 1048576 TiB does not fit: .* 1\.0 MiB of it stay in reserve/,
      );
      return true;
    });
    await space.assertRoomFor('b');
  });

  test('a folder that is not there yet is no fault', async () => {
    const space = new ImageSpace({ folders: ['/nowhere/at/all'], reserveBytes: 2 ** 60, clock: systemClock });
    await space.assertRoomFor('a');
  });

  test('a pull is broken off before the reserve is gone, and not begun again without more room', {
    skip: process.getuid?.() !== 0,
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'svg-space-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder]);
    try {
      const options = { folders: [folder], reserveBytes: 4 * mebibyte, clock: systemClock };
      const space = new ImageSpace(options);
      await space.assertRoomFor('a');
      const caller = new AbortController();
      const guard = space.guard('a', caller.signal);
      const broken = new Promise((resolve) => guard.signal.addEventListener('abort', resolve));
      // It grows until somebody stops it, as a pull does.
      for (let part = 0; !guard.signal.aborted && part < 7; part++) {
        await writeFile(join(folder, `${part}`), Buffer.alloc(mebibyte));
        await systemClock.sleep(700);
      }
      await broken;
      assert.ok(guard.signal.reason instanceof InsufficientSpaceError);
      guard.end();
      for (let part = 0; part < 7; part++) await rm(join(folder, `${part}`), { force: true });
      await assert.rejects(space.assertRoomFor('a'), InsufficientSpaceError);
      await space.assertRoomFor('b');
      // A machine that was given a larger disk.
      execFileSync('mount', ['-o', 'remount,size=64m', folder]);
      await space.assertRoomFor('a');
    } finally {
      execFileSync('umount', ['-l', folder]);
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('a caller who gives up is told so, not that there is no room', () => {
    const space = new ImageSpace({ folders: [tmpdir()], reserveBytes: 0, clock: systemClock });
    const caller = new AbortController();
    const guard = space.guard('a', caller.signal);
    caller.abort();
    assert.equal(guard.signal.reason, caller.signal.reason);
    guard.end();
  });
});
