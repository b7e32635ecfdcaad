import assert from 'node:assert/strict';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startProgram } from './testing/child-program.ts';
import { folderForTest, openStoreForTest, openTestStore } from './testing/open-test-store.ts';

test('a database in use by another process is refused by that process’s name, and free once it is killed', async (t) => {
  const path = join(folderForTest(t), 'store.db');
  const holder = startProgram('holder.ts', [path]);
  t.after(() => holder.kill());
  await once(holder.lines, 'line');
  await assert.rejects(openTestStore(path), (error: Error & { reason?: string }) => {
    assert.equal(error.reason, 'ServiceUnavailable');
    assert.match(error.message, new RegExp(`in use by process ${holder.process.pid} on .+ since \\d{4}-`));
    return true;
  });
  await holder.kill();
  const store = await openStoreForTest(t, path);
  await store.close();
});

test('a database in use by another store of this process is refused, and that one goes on', async (t) => {
  const path = join(folderForTest(t), 'store.db');
  const first = await openStoreForTest(t, path);
  await assert.rejects(openTestStore(path), { reason: 'ServiceUnavailable' });
  await first.objects.create({ resource: 'things', namespace: '', name: 'a' }, '{}');
  await assert.rejects(openTestStore(path), { reason: 'ServiceUnavailable' });
  await first.close();
  const second = await openStoreForTest(t, path);
  assert.equal(await second.objects.currentRevision(), 2);
  await second.close();
});

test('folder and files can be read by their owner only', async (t) => {
  const folder = join(folderForTest(t), 'made', 'here');
  const store = await openStoreForTest(t, join(folder, 'store.db'));
  await store.objects.create({ resource: 'things', namespace: '', name: 'a' }, '{}');
  const modes = ['', 'store.db', 'store.db-wal', 'store.db-shm', 'store.db.lock', 'store.db.holder'].map(
    async (name) => {
      const { mode } = await stat(join(folder, name));
      return (mode & 0o777).toString(8);
    },
  );
  assert.deepEqual(await Promise.all(modes), ['700', '600', '600', '600', '600', '600']);
  await store.close();
});
