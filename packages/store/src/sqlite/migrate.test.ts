import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDb } from './db.ts';
import { migrate } from './migrate.ts';
import { migrations } from './migrations/index.ts';

test('migrations are numbered 1, 2, 3, … without holes', () => {
  assert.deepEqual(
    migrations.map((migration) => migration.version),
    migrations.map((_, index) => index + 1),
  );
});

test('an empty database gets the newest schema, and a second run changes nothing', (t) => {
  const db = openDb(':memory:');
  t.after(() => db.close());
  const newest = migrations.length;
  assert.equal(migrate(db), 0);
  assert.equal(migrate(db), newest);
  assert.equal(db.get<{ user_version: number }>('PRAGMA user_version')?.user_version, newest);
});

test('a database of a newer version is refused, not touched', (t) => {
  const db = openDb(':memory:');
  t.after(() => db.close());
  db.exec('PRAGMA user_version = 999');
  assert.throws(
    () => migrate(db),
    /schema version 999, this program knows only up to \d+: start the newer version/,
  );
  assert.deepEqual(db.all('SELECT name FROM sqlite_schema'), []);
});
