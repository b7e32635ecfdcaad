import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger, systemClock } from '@selvedge/api/node';
import { requireTool } from '@selvedge/testkit';
import { openDb } from './sqlite/db.ts';
import { GroupCommit } from './sqlite/group-commit.ts';
import { migrate } from './sqlite/migrate.ts';
import { SqliteObjectStore } from './sqlite/sqlite-object-store.ts';
import { folderForTest } from './testing/open-test-store.ts';

const key = (name: string) => ({ resource: 'things', namespace: '', name });
const big = JSON.stringify({ text: 'x'.repeat(100_000) });

test('when the disk is full a write is refused with the reason, and others go on; with space again all do', async (t) => {
  const db = openDb(join(folderForTest(t), 'store.db'));
  t.after(() => db.close());
  migrate(db);
  const commits = new GroupCommit(db, createLogger({ level: 'silent' }));
  const objects = new SqliteObjectStore({ db, commits, clock: systemClock, close: () => commits.close() });
  const first = await objects.create(key('first'), '{}');
  const pages = db.get<{ page_count: number }>('PRAGMA page_count')?.page_count ?? 0;
  db.exec(`PRAGMA max_page_count = ${pages + 40}`);

  const heard: string[] = [];
  const stop = new AbortController();
  const watching = (async () => {
    for await (const event of objects.watch({ resource: 'things', fromRevision: 2, signal: stop.signal })) {
      if (event.type !== 'progress') heard.push(event.object.key.name);
    }
  })();
  const results = await Promise.allSettled(
    ['a', 'big-1', 'b', 'big-2', 'c'].map((name) =>
      objects.create(key(name), name.startsWith('big') ? big : '{}'),
    ),
  );
  assert.deepEqual(
    results.map((result) => result.status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  );
  const refused = results[3];
  assert.ok(refused?.status === 'rejected');
  assert.equal(refused.reason.reason, 'ServiceUnavailable');
  assert.match(refused.reason.message, /disk is full: free some space/);
  assert.deepEqual(await objects.find(key('first')), first);

  db.exec('PRAGMA max_page_count = 100000');
  const later = await objects.create(key('big-2'), big);
  assert.equal(later.revision, first.revision + 5, 'a refused write takes no revision');
  await new Promise(setImmediate);
  stop.abort();
  await watching;
  assert.deepEqual(heard, ['a', 'big-1', 'b', 'c', 'big-2']);
});

test(
  'on a file system that is truly full nothing acknowledged is lost, and the store goes on when there is space',
  requireTool('root', 'unshare'),
  (t) => {
    const folder = folderForTest(t);
    const program = join(import.meta.dirname, 'testing', 'full-disk.ts');
    // The mount lives in a namespace of its own and goes away with the program.
    const script = 'mount -t tmpfs -o size=3m tmpfs "$0" && exec "$1" "$2" "$0"';
    const arguments_ = ['--mount', 'sh', '-c', script, folder, process.execPath, program];
    const seen = JSON.parse(execFileSync('unshare', arguments_, { encoding: 'utf8' })) as Record<
      string,
      unknown
    >;
    const written = Number(seen['written']);
    assert.ok(written > 5);
    assert.match(String(seen['message']), /disk is full: free some space|failed: check the disk/);
    assert.deepEqual(
      { ...seen, message: '' },
      {
        written,
        reason: 'ServiceUnavailable',
        message: '',
        readable: written,
        together: ['rejected', 'rejected', 'rejected'],
        laterRevision: written + 2,
        inTheEnd: written + 1,
        reopened: written + 1,
      },
    );
  },
);
