import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
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
  const keys = { active: new Uint8Array(32), others: [] };
  const first = await openStoreForTest(t, path, { keys });
  await first.close();
  await assert.rejects(openTestStore(path));
  const again = await openStoreForTest(t, path, { keys });
  assert.equal(await again.objects.currentRevision(), 1);
});

test('objects.close closes the fleet store too', async (t) => {
  const { objects, fleet } = await openStoreForTest(t, join(folderForTest(t), 'store.db'));
  await objects.close();
  await assert.rejects(fleet.siteState('s1'), { reason: 'ServiceUnavailable' });
  await assert.rejects(fleet.removeSiteKey('s1'), { reason: 'ServiceUnavailable' });
});

test('what a process that was killed during a backup left behind is removed', async (t) => {
  const folder = folderForTest(t);
  const path = join(folder, 'store.db');
  await (await openStoreForTest(t, path)).close();
  writeFileSync(`${path}.snapshot-0123456789ab`, 'half a copy');
  writeFileSync(join(folder, 'other.snapshot-1'), 'not ours');
  const store = await openStoreForTest(t, path);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.includes('snapshot')),
    ['other.snapshot-1'],
  );
  await store.close();
});
