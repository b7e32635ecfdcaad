import assert from 'node:assert/strict';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { FakeClock } from '@selvedge/testkit';
import { FileStorage } from '../storage/file-storage.ts';
import { pushImage, uploadBlob } from '../testing/registry-content-contract.ts';
import { blobOf, imageOf, type TestBlob } from '../testing/test-image.ts';
import { ContentKeys as keys } from './content-keys.ts';
import { KeptContent } from './kept-content.ts';

const never = new AbortController().signal;
const day = 24 * 60 * 60_000;

/** Content in files whose age can be set. */
async function openLab(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'selvedge-collect-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const clock = new FakeClock();
  const storage = new FileStorage({ directory, reserveBytes: 0, clock });
  const content = new KeptContent({ storage, clock });
  const collect = () => content.collect(new Date(clock.now().getTime() - day), never);
  /** Everything that is there was written so long ago. */
  const age = async (milliseconds: number) => {
    const at = new Date(clock.now().getTime() - milliseconds);
    for await (const { key } of storage.list('')) await utimes(join(directory, key), at, at);
  };
  const isKept = async ({ digest }: TestBlob) => (await storage.find(keys.blob(digest))) !== undefined;
  return { directory, clock, storage, content, collect, age, isKept };
}

test('what a manifest names stays, however old it is', async (t) => {
  const lab = await openLab(t);
  const image = imageOf(['layer']);
  await pushImage(lab.content, { repository: 'shop/till', reference: '1' }, image);
  for (let round = 0; round < 4; round += 1) {
    await lab.age(30 * day);
    const { blobs, left } = await lab.collect();
    assert.deepEqual([blobs, left.blobs], [0, 2]);
  }
  for (const blob of image.blobs) assert.ok(await lab.content.findBlob('shop/till', blob.digest));
});

test('what nothing names goes, but not at once: a collection notes it, one that is a day later removes it', async (t) => {
  const lab = await openLab(t);
  const image = imageOf(['layer']);
  await pushImage(lab.content, { repository: 'shop/till', reference: '1' }, image);
  await lab.content.deleteManifest('shop/till', image.manifest.digest);
  assert.equal((await lab.collect()).blobs, 0, 'it is young');
  await lab.age(2 * day);
  assert.equal((await lab.collect()).blobs, 0, 'it is seen for the first time');
  assert.equal((await lab.collect()).blobs, 0, 'the note is young');
  await lab.age(2 * day);
  assert.equal((await lab.collect()).blobs, 2);
  for (const blob of image.blobs) assert.equal(await lab.isKept(blob), false);
  const left: string[] = [];
  for await (const { key } of lab.storage.list('')) left.push(key);
  assert.deepEqual(left, []);
});

test('a blob that was noted stays when somebody pushes or mounts it again', async (t) => {
  const lab = await openLab(t);
  const [pushed, other] = [blobOf('pushed'), blobOf('other')];
  for (const blob of [pushed, other]) await uploadBlob(lab.content, 'shop/till', blob);
  await lab.age(2 * day);
  await lab.collect();
  await uploadBlob(lab.content, 'shop/till', pushed);
  await lab.collect();
  assert.deepEqual([await lab.isKept(pushed), await lab.isKept(other)], [true, true]);
  await lab.age(2 * day);
  await uploadBlob(lab.content, 'shop/till', pushed);
  await lab.collect();
  assert.deepEqual([await lab.isKept(pushed), await lab.isKept(other)], [true, false]);
});

test('a blob that a client has just asked for stays: it will not be sent again', async (t) => {
  const lab = await openLab(t);
  const blob = blobOf('layer');
  await uploadBlob(lab.content, 'shop/till', blob);
  for (let round = 0; round < 4; round += 1) {
    await lab.age(2 * day);
    assert.ok(await lab.content.findBlob('shop/till', blob.digest));
    await lab.collect();
  }
  assert.ok(await lab.isKept(blob));
});

test('a blob of two repositories goes with the last of them', async (t) => {
  const lab = await openLab(t);
  const image = imageOf(['layer']);
  for (const repository of ['shop/till', 'bank/atm'])
    await pushImage(lab.content, { repository, reference: '1' }, image);
  await lab.content.deleteManifest('shop/till', image.manifest.digest);
  for (let round = 0; round < 3; round += 1) {
    await lab.age(2 * day);
    await lab.collect();
  }
  assert.equal(await lab.content.findBlob('shop/till', image.blobs[0]?.digest ?? ''), undefined);
  assert.ok(await lab.content.findBlob('bank/atm', image.blobs[0]?.digest ?? ''));
});

test('uploads that nobody goes on with, and files of writes that were cut off, go', async (t) => {
  const lab = await openLab(t);
  const { id } = await lab.content.startUpload('shop/till');
  await writeFile(join(lab.directory, '.unfinished', 'cut-off'), 'half of a layer');
  assert.equal((await lab.collect()).uploads, 0);
  await lab.age(2 * day);
  const old = new Date(lab.clock.now().getTime() - 2 * day);
  await utimes(join(lab.directory, '.unfinished', 'cut-off'), old, old);
  assert.equal((await lab.collect()).uploads, 1);
  await assert.rejects(lab.content.findUpload('shop/till', id));
  await assert.rejects(utimes(join(lab.directory, '.unfinished', 'cut-off'), old, old), /ENOENT/);
});

test('a damaged manifest ends the collection before anything is removed', async (t) => {
  const lab = await openLab(t);
  const image = imageOf(['layer']);
  await pushImage(lab.content, { repository: 'shop/till', reference: '1' }, image);
  await writeFile(join(lab.directory, keys.manifest('shop/till', image.manifest.digest)), '{}');
  for (let round = 0; round < 3; round += 1) {
    await lab.age(2 * day);
    await assert.rejects(lab.collect(), /damaged: nothing is collected/);
  }
  for (const blob of image.blobs) assert.ok(await lab.isKept(blob));
  await assert.rejects(lab.content.findManifest('shop/till', '1'), /damaged: push it again/);
});
