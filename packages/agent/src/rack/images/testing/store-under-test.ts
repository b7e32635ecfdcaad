import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { createLogger, systemClock } from '@selvedge/api/node';
import type { ArtifactSource } from '../artifact-source.ts';
import type { PreparedImage } from '../image-library.ts';
import { RackImageLibrary, type RackImageLibraryOptions } from '../rack-image-library.ts';

interface Test {
  after(work: () => Promise<void>): void;
}

/** A folder that is removed when the test is over. */
export async function temporaryFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'svg-images-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A library on a folder, closed when the test is over. */
export async function openLibrary(
  t: Test,
  options: { directory: string; artifacts: ArtifactSource } & Partial<RackImageLibraryOptions>,
): Promise<RackImageLibrary> {
  const library = await RackImageLibrary.open({
    // A test machine may have little space.
    reserveBytes: 0,
    clock: systemClock,
    logger: createLogger({ level: 'fatal' }),
    ...options,
  });
  t.after(() => library.close());
  return library;
}

/** Polls, for what files and other processes bring. */
export async function until<T>(what: string, look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 3000; tries++) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await wait(10);
  }
  throw new Error(`waited in vain until ${what}`);
}

/** All of a disk, read chunk by chunk as a machine does, and checked against the map. */
export async function readDisk(image: PreparedImage): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let offset = 0;
  for (let index = 0; index < image.chunkCount; index++) {
    const chunk = image.chunk(index);
    assert.equal(chunk.offset, offset);
    const bytes: Uint8Array[] = [];
    for await (const piece of image.read(index)) {
      assert.ok(piece.length <= 64 * 1024);
      bytes.push(Buffer.from(piece));
    }
    const whole = Buffer.concat(bytes);
    assert.equal(whole.length, chunk.length);
    const isZero = whole.equals(Buffer.alloc(whole.length));
    assert.equal(chunk.sha256, isZero ? 'zero' : createHash('sha256').update(whole).digest('hex'));
    pieces.push(whole);
    offset += chunk.length;
  }
  assert.equal(offset, image.diskBytes);
  return Buffer.concat(pieces);
}
