import assert from 'node:assert/strict';
import { closeSync, copyFileSync, fstatSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { isStatusError } from '@selvedge/api';
import { verifySqliteFile } from './index.ts';
import { fillStore, fixtureKey, fixtureResources, fixtureSensitiveResources } from './testing/fill-store.ts';
import { observeStore } from './testing/observe-store.ts';
import { folderForTest, openTestStore } from './testing/open-test-store.ts';

const keys = { active: fixtureKey, others: [] };
const options = { keys, sensitiveResources: fixtureSensitiveResources };
const names = { resources: fixtureResources, rolloutUids: ['rollout-uid'], fromRevision: 5 };
const pageBytes = 4096;

/** A store with a little of everything and some large objects; returns what is read in it. */
async function makeStore(path: string): Promise<Record<string, unknown>> {
  const store = await openTestStore(path, options);
  await fillStore(store);
  for (let i = 0; i < 40; i++) {
    const key = { resource: i % 2 ? 'secrets' : 'things.example', namespace: 'many', name: `n${i}` };
    await store.objects.create(key, JSON.stringify({ i, text: 'all is well '.repeat(i * 30) }));
  }
  const seen = await observeStore(store, names);
  await store.close();
  return seen;
}

/** Opens a damaged file and reads everything; what it says, or how it refuses. */
async function readDamaged(path: string): Promise<Record<string, unknown> | string> {
  try {
    const store = await openTestStore(path, options);
    try {
      return await observeStore(store, names);
    } finally {
      await store.close();
    }
  } catch (error) {
    assert.ok(isStatusError(error), String(error));
    return error.message;
  }
}

function overwrite(path: string, offset: number, bytes: Uint8Array): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

test('of a page that is lost, or holds something else, the store says so, or it does without; it never makes things up', async (t) => {
  const folder = folderForTest(t);
  const good = join(folder, 'good.db');
  const expected = await makeStore(good);
  const pages = statSync(good).size / pageBytes;
  assert.ok(pages > 40);
  let refused = 0;
  for (let page = 0; page < pages; page++) {
    const path = join(folder, `damaged-${page}.db`);
    copyFileSync(good, path);
    overwrite(path, page * pageBytes, Buffer.alloc(pageBytes, page % 2 === 0 ? 0 : 0xa5));
    const seen = await readDamaged(path);
    if (typeof seen === 'string') {
      refused += 1;
      assert.match(
        seen,
        /damaged|restore it from a backup|is missing|unknown form|changed or moved|cannot|failed/,
      );
    } else {
      compareKnown(seen, expected, `page ${page}`);
    }
  }
  assert.ok(refused > pages / 3, `only ${refused} of ${pages} were noticed when reading`);
});

test('a bit that flips in an object, plain or sealed, or in content is noticed when it is read', async (t) => {
  const folder = folderForTest(t);
  const good = join(folder, 'good.db');
  const expected = await makeStore(good);
  const offsets = offsetsOf(good, 'all is well').filter((_, index) => index % 97 === 0);
  let refused = 0;
  for (const offset of offsets) {
    const path = join(folder, `flipped-${offset}.db`);
    copyFileSync(good, path);
    overwrite(path, offset, Buffer.from('A'));
    const seen = await readDamaged(path);
    if (typeof seen !== 'string') {
      assert.deepEqual(seen, expected, 'it was a page’s free space');
      continue;
    }
    refused += 1;
    assert.match(seen, /is damaged: restore the store from a backup/);
    assert.match(verifySqliteFile({ path, keys }).problems.join('\n'), /is damaged/);
  }
  assert.ok(refused > 5, `only ${refused} of ${offsets.length} hit an object`);
  assert.deepEqual(await readDamaged(good), expected);
});

test('verify names what is missing or does not fit', async (t) => {
  const path = join(folderForTest(t), 'store.db');
  await makeStore(path);
  assert.deepEqual(verifySqliteFile({ path, keys }).problems, []);
  const { openDb } = await import('./sqlite/db.ts');
  const faults: [string, RegExp][] = [
    [
      "DELETE FROM object_log WHERE name = 'b' AND namespace = ''",
      /things.example \/b: its newest state is missing/,
    ],
    [
      "DELETE FROM object_head WHERE name = 'a'",
      /shop\/a: the list of objects does not point to its newest state/,
    ],
    ["UPDATE setting SET value = 10 WHERE name = 'revision'", /the newest given out is 10/],
    ['UPDATE delivery SET revision = 12 WHERE id = 1', /revision 12 was given out twice/],
    ['UPDATE delivery SET epoch = 99 WHERE id = 1', /its epoch 99 is not one of the site's/],
    ["UPDATE blob SET digest = 'sha256:other' WHERE id = 1", /content sha256:other/],
    ["UPDATE site_state SET variables = 'no json' WHERE site = 'oslo'", /policy of site oslo: is no JSON/],
    ["UPDATE site_state SET policy = 'no json' WHERE site = 'oslo'", /policy of site oslo: is no JSON/],
    ["UPDATE delivery SET terms = 'no json' WHERE id = 1", /delivery of \S+ to \S+: is no JSON/],
    ["UPDATE delivery SET phase = 'Strange' WHERE id = 2", /unknown phase Strange/],
  ];
  for (const [sql, problem] of faults) {
    const damaged = `${path}-damaged`;
    copyFileSync(path, damaged);
    const db = openDb(damaged);
    db.exec(sql);
    db.close();
    assert.match(verifySqliteFile({ path: damaged, keys }).problems.join('\n'), problem, sql);
  }
});

/** Objects and content are as they were, or not there at all. */
function compareKnown(seen: Record<string, unknown>, expected: Record<string, unknown>, what: string): void {
  interface Lists {
    lists: Record<string, { objects: { key: { namespace: string; name: string } }[] }>;
    blobs: Record<string, string>;
  }
  const [a, b] = [seen as unknown as Lists, expected as unknown as Lists];
  for (const resource of fixtureResources) {
    for (const object of a.lists[resource]?.objects ?? []) {
      const known = b.lists[resource]?.objects.some((other) => isDeepStrictEqual(other, object));
      assert.ok(known, `${what}: ${resource} ${object.key.name} is another`);
    }
  }
  for (const [digest, bytes] of Object.entries(a.blobs)) assert.equal(bytes, b.blobs[digest], what);
}

function offsetsOf(path: string, text: string): number[] {
  const file = openSync(path, 'r');
  const bytes = Buffer.alloc(fstatSync(file).size);
  readSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
  const offsets: number[] = [];
  for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) offsets.push(at);
  return offsets;
}
