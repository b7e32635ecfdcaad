import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { folderForTest, openStoreForTest, openTestStore } from './testing/open-test-store.ts';

test('a file that is no database is refused and left as it is', async (t) => {
  const path = join(folderForTest(t), 'store.db');
  writeFileSync(path, 'no database '.repeat(1000));
  await assert.rejects(openTestStore(path), {
    reason: 'InternalError',
    message: 'the database file is damaged or is no SQLite database: restore it from a backup',
  });
});

test('a place where no file can be made is refused with the reason', async (t) => {
  const folder = folderForTest(t);
  writeFileSync(join(folder, 'file'), '');
  await assert.rejects(openTestStore(join(folder, 'file', 'store.db')), {
    reason: 'ServiceUnavailable',
    message: /the store cannot be made: .*file/,
  });
});

test('a database whose opening failed can be opened by the next one', async (t) => {
  const path = join(folderForTest(t), 'store.db');
  const key = new Uint8Array(32);
  const first = await openStoreForTest(t, path, { key });
  await first.close();
  await assert.rejects(openTestStore(path));
  const again = await openStoreForTest(t, path, { key });
  assert.equal(await again.objects.currentRevision(), 1);
});

test('objects.close closes the fleet store too', async (t) => {
  const { objects, fleet } = await openStoreForTest(t, join(folderForTest(t), 'store.db'));
  await objects.close();
  await assert.rejects(fleet.siteState('s1'), { reason: 'ServiceUnavailable' });
  await assert.rejects(fleet.removeSiteKey('s1'), { reason: 'ServiceUnavailable' });
});
