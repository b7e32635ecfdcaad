import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { systemClock } from '@selvedge/api/node';
import { folderForTest, openStoreForTest } from '../testing/open-test-store.ts';

const mebibyte = 1024 * 1024;
const key = (name: string) => ({ resource: 'things', namespace: '', name });
const body = JSON.stringify({ text: 'x'.repeat(16_000) });

async function eventually(check: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !check(); tries++) {
    assert.ok(tries < 1200, what);
    await systemClock.sleep(50);
  }
}

describe('the files of a store', () => {
  test('the log does not grow while writes never stop, and what is in it reaches the database', async (t) => {
    const path = join(folderForTest(t), 'store.db');
    const { objects } = await openStoreForTest(t, path);
    let largest = 0;
    for (let i = 0; i < 6000; i += 8) {
      await Promise.all(Array.from({ length: 8 }, (_, n) => objects.create(key(`n${i + n}`), body)));
      largest = Math.max(largest, statSync(`${path}-wal`).size);
    }
    assert.ok(largest < 80 * mebibyte, `the log grew to ${largest} bytes`);
    assert.ok(statSync(path).size > 40 * mebibyte, 'the database has taken it over meanwhile');
    assert.equal((await objects.list({ resource: 'things', limit: 1 })).remaining, 5999);
  });

  test('what is deleted and forgotten gives its space back to the file system', async (t) => {
    const path = join(folderForTest(t), 'store.db');
    const retention = { revisions: 1, milliseconds: 1, intervalMilliseconds: 200 };
    const { objects } = await openStoreForTest(t, path, { retention });
    const made = await Promise.all(
      Array.from({ length: 1500 }, (_, i) => objects.create(key(`n${i}`), body)),
    );
    await eventually(() => statSync(path).size > 15 * mebibyte, 'the objects reach the file');
    await Promise.all(made.map((object) => objects.delete(object.key, object.revision)));
    await eventually(() => {
      // The file shrinks when the log is copied into it, which writes bring about.
      void objects.create(key(`later${Math.random()}`), body).then((o) => objects.delete(o.key, o.revision));
      return statSync(path).size < 12 * mebibyte;
    }, 'the file becomes smaller');
  });
});
