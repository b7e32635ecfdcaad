import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { defaultItemTerms, defaultSitePolicy } from '@selvedge/api';
import { verifySqliteFile } from '../index.ts';
import { fillStore, fixtureKey, fixtureResources, fixtureSensitiveResources } from '../testing/fill-store.ts';
import { observeStore } from '../testing/observe-store.ts';
import { folderForTest, openStoreForTest } from '../testing/open-test-store.ts';
import { openDb } from './db.ts';
import { migrate } from './migrate.ts';
import { migrations } from './migrations/index.ts';

const fixtures = join(import.meta.dirname, '../testing/fixtures');
const versions = readdirSync(fixtures)
  .filter((name) => name.endsWith('.sql'))
  .map((name) => Number(/^schema-(\d+)\.sql$/.exec(name)?.[1]));
const keys = { active: fixtureKey, others: [] };
const options = { keys, sensitiveResources: fixtureSensitiveResources };
const names = { resources: fixtureResources, rolloutUids: ['rollout-uid'], fromRevision: 5 };

/** What makes the migration from schema 1, 2, … fail half-way. */
const obstacles = [
  { make: 'CREATE TABLE site_state_2 (in_the_way INTEGER)', clear: 'DROP TABLE site_state_2' },
  {
    make: 'ALTER TABLE site_state ADD COLUMN policy TEXT',
    clear: 'ALTER TABLE site_state DROP COLUMN policy',
  },
];

function makeDatabase(path: string, version: number): void {
  const db = new DatabaseSync(path);
  db.exec(readFileSync(join(fixtures, `schema-${version}.sql`), 'utf8'));
  db.close();
}

interface Seen {
  readonly deliveries: { readonly rows: object[] };
  readonly deliveriesSince: { readonly rows: object[] };
  readonly siteStates: Readonly<Record<string, { readonly epoch: number; readonly rows: object[] }>>;
}

/** What that version read in its database, and what came to be said of it since. */
function whatWasRead(version: number, epochsRaised = version < 3 ? 1 : 0): unknown {
  const seen = JSON.parse(readFileSync(join(fixtures, `schema-${version}.json`), 'utf8')) as Seen;
  if (version >= 3) return seen;
  const withTerms = <List extends { readonly rows: object[] }>(list: List): List => ({
    ...list,
    rows: list.rows.map((row) => ({ ...row, terms: defaultItemTerms, removal: 'Delete' })),
  });
  return {
    ...seen,
    deliveries: withTerms(seen.deliveries),
    deliveriesSince: withTerms(seen.deliveriesSince),
    siteStates: Object.fromEntries(
      Object.entries(seen.siteStates).map(([site, state]) => [
        site,
        { ...withTerms(state), epoch: state.epoch + epochsRaised, policy: defaultSitePolicy },
      ]),
    ),
  };
}

describe('a database of an earlier version', () => {
  test('there is one of every version that has a successor', () => {
    const released = migrations.slice(0, -1).map((migration) => migration.version);
    assert.deepEqual(
      released.filter((version) => !versions.includes(version)),
      [],
    );
  });

  for (const version of versions) {
    test(`of schema ${version} is brought forward with everything in it`, async (t) => {
      const path = join(folderForTest(t), 'store.db');
      makeDatabase(path, version);
      const store = await openStoreForTest(t, path, options);
      assert.deepEqual(await observeStore(store, names), whatWasRead(version));
      await store.reseal(new AbortController().signal);
      assert.deepEqual(await observeStore(store, names), whatWasRead(version), 'sealed anew');
      const { problems } = await store.verify(new AbortController().signal);
      assert.deepEqual(problems, []);
      const made = await store.objects.create(
        { resource: 'things.example', namespace: '', name: 'new' },
        '{}',
      );
      assert.equal(made.revision, 21);
      await store.close();

      const again = await openStoreForTest(t, path, options);
      assert.equal(await again.objects.currentRevision(), 21);
      await again.close();
      assert.deepEqual(verifySqliteFile({ path, keys }).problems, []);
      const db = openDb(path);
      assert.equal(
        db.get<{ auto_vacuum: number }>('PRAGMA auto_vacuum')?.auto_vacuum,
        2,
        'free pages are returned',
      );
      const plain = db.all(
        `SELECT site FROM site_state WHERE typeof(variables) = 'text' AND variables <> '{}'
         UNION ALL SELECT site FROM delivery WHERE typeof(logs) = 'text' OR report LIKE '%battery staple%'`,
      );
      db.close();
      assert.deepEqual(plain, [], 'what can hold secrets is sealed');
    });

    test(`of schema ${version} that a migration was interrupted on is the old one, and opens`, async (t) => {
      const path = join(folderForTest(t), 'store.db');
      makeDatabase(path, version);
      const statements = migrations.slice(version).flatMap((migration) => statementsOf(migration.sql));
      for (let count = 1; count <= statements.length; count++) {
        // As when the process is killed behind this statement: nothing was committed.
        const db = openDb(path);
        db.exec('PRAGMA journal_mode = WAL; BEGIN IMMEDIATE');
        for (const sql of statements.slice(0, count)) db.exec(sql);
        db.close();
        const looked = openDb(path, { readOnly: true });
        assert.equal(looked.get<{ user_version: number }>('PRAGMA user_version')?.user_version, version);
        looked.close();
      }
      const store = await openStoreForTest(t, path, options);
      assert.deepEqual(await observeStore(store, names), whatWasRead(version));
      await store.close();
    });

    test(`of schema ${version} whose migration fails stays as it was`, (t) => {
      const path = join(folderForTest(t), 'store.db');
      makeDatabase(path, version);
      const db = openDb(path);
      t.after(() => db.close());
      const { make, clear } = obstacles[version - 1] as (typeof obstacles)[number];
      db.exec(make);
      assert.throws(() => migrate(db), { reason: 'InternalError' });
      assert.equal(db.inTransaction, false);
      assert.equal(db.get<{ user_version: number }>('PRAGMA user_version')?.user_version, version);
      db.exec(clear);
      assert.equal(migrate(db), version);
    });
  }
});

test('a store filled by this version is read as one of the first version was', async (t) => {
  const path = join(folderForTest(t), 'store.db');
  const store = await openStoreForTest(t, path, options);
  await fillStore(store);
  const [seen, expected] = [await observeStore(store, names), whatWasRead(1, 0)].map(withoutTimes);
  assert.deepEqual(seen, expected);
});

function statementsOf(sql: string): string[] {
  return sql
    .replace(/--.*$/gm, '')
    .split(';')
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
}

const withoutTimes = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value).replace(/"assignedAt":"[^"]*"/g, '"assignedAt":""'));
