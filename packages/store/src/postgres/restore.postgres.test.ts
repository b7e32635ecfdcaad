import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { defaultItemTerms, defaultSitePolicy } from '@selvedge/api';
import type { Store, StoreRecord } from '../index.ts';
import { needsPostgres, openPostgresStoreForTest, PostgresForTests } from '../testing/postgres-databases.ts';
import { parseStoreUrl } from './connection-settings.ts';
import { Connection } from './connection.ts';
import { migrate } from './migrate.ts';
import { migrations } from './migrations/index.ts';

const key = { resource: 'things.example', namespace: '', name: 'a' };
const identity = { hubId: 'hub', caFingerprint: 'ca' };
const { signal } = new AbortController();
const gap = { revisionGap: 1000 };

function connect(url: string): Promise<Connection> {
  return Connection.open({ settings: parseStoreUrl(url), name: 'test', statementMilliseconds: 60_000 });
}

async function* records(body: string): AsyncGenerator<StoreRecord> {
  yield { type: 'head', formatVersion: 1, revision: 7 };
  yield { type: 'object', object: { key, body, revision: 7, createRevision: 7 } };
  yield { type: 'site', site: 's1', epoch: 3, variables: { a: 1 }, policy: defaultSitePolicy };
  yield { type: 'end', records: 3 };
}

describe('restoring into PostgreSQL', needsPostgres, () => {
  const postgres = new PostgresForTests();

  /** As a restore that was killed between filling the database and putting the keys into their place. */
  async function killedRestore(t: TestContext): Promise<{ url: string; instance: string }> {
    const { url } = await postgres.database(t);
    const store = await openPostgresStoreForTest(t, url);
    await store.restore(records('{"v":1}'), gap);
    const { instance } = store;
    await store.close();
    return { url, instance };
  }

  const bodyOf = async (store: Store) => (await store.objects.find(key))?.body;

  test('that was killed at its end is simply done again', async (t) => {
    const { url, instance } = await killedRestore(t);
    const store = await openPostgresStoreForTest(t, url);
    const before = await store.objects.currentRevision();
    await store.restore(records('{"v":2}'), gap);
    assert.equal(await bodyOf(store), '{"v":2}');
    assert.ok((await store.objects.currentRevision()) >= before);
    assert.deepEqual((await store.fleet.siteState('s1')).variables, { a: 1 });
    assert.notEqual(store.instance, instance);
    assert.deepEqual((await store.verify(signal)).problems, []);
    const { revision } = await store.objects.create({ ...key, name: 'b' }, '{}');
    assert.ok(revision > before);
  });

  test('again leaves what is there when the dump is not sound', async (t) => {
    const { url, instance } = await killedRestore(t);
    const store = await openPostgresStoreForTest(t, url);
    const cutOff = async function* () {
      for await (const record of records('{"v":2}')) if (record.type !== 'end') yield record;
    };
    await assert.rejects(store.restore(cutOff(), gap), { reason: 'BadRequest' });
    assert.deepEqual([await bodyOf(store), store.instance], ['{"v":1}', instance]);
  });

  const remedy = /another database, or, if nothing in this one is needed any more, empty it with DROP SCHEMA/;

  test('that a hub has used is not done again: what the hub wrote would be lost', async (t) => {
    const { url } = await killedRestore(t);
    const hub = await openPostgresStoreForTest(t, url, { identity });
    await hub.close();
    const store = await openPostgresStoreForTest(t, url);
    await assert.rejects(store.restore(records('{"v":2}'), gap), { reason: 'Conflict', message: remedy });
    assert.equal(await bodyOf(store), '{"v":1}');
  });

  test('nor one into which anything was written since', async (t) => {
    const { url } = await killedRestore(t);
    const store = await openPostgresStoreForTest(t, url);
    await store.fleet.setSiteSettings('s2', { variables: { mine: true }, policy: defaultSitePolicy });
    await assert.rejects(store.restore(records('{"v":2}'), gap), { reason: 'Conflict', message: remedy });
    assert.deepEqual((await store.fleet.siteState('s2')).variables, { mine: true });
  });

  test('the hubs on one database have one name for it', async (t) => {
    const { url, instance } = await killedRestore(t);
    const hubs = await Promise.all([1, 2].map(() => openPostgresStoreForTest(t, url, { identity })));
    for (const hub of hubs) assert.equal(hub.instance, instance);
    const other = await postgres.database(t);
    const twins = await Promise.all([1, 2].map(() => openPostgresStoreForTest(t, other.url, { identity })));
    assert.equal(new Set([instance, ...twins.map((hub) => hub.instance)]).size, 2);
  });

  test('a copy of a database, made past the hub, is not called as the one that it was made of', async (t) => {
    const { url, instance } = await killedRestore(t);
    const copy = await postgres.database(t);
    await (await openPostgresStoreForTest(t, copy.url)).close();
    // As pg_dump and pg_restore would leave it.
    const source = await connect(url);
    const settings = await source.query<{ name: string; value: string }>('SELECT name, value FROM setting');
    await source.close();
    const target = await connect(copy.url);
    await target.exec('TRUNCATE setting');
    for (const { name, value } of settings) {
      await target.query('INSERT INTO setting VALUES ($1, $2)', [name, value]);
    }
    await target.close();
    const copied = await openPostgresStoreForTest(t, copy.url);
    assert.notEqual(copied.instance, instance);
    await copied.close();
    assert.equal((await openPostgresStoreForTest(t, copy.url)).instance, copied.instance);
    assert.equal((await openPostgresStoreForTest(t, url)).instance, instance);
  });
});

describe('a PostgreSQL database of an earlier version', needsPostgres, () => {
  const postgres = new PostgresForTests();

  test('is brought forward with everything in it', async (t) => {
    const { url } = await postgres.database(t);
    const connection = await connect(url);
    await migrate(connection, migrations.slice(0, 1));
    await connection.exec(`
      INSERT INTO commit_log VALUES (2, 3, 0, 0);
      INSERT INTO site_state (site, epoch, commit_id, variables) VALUES ('s1', 2, 2, '{"a":1}');
      INSERT INTO delivery VALUES ('s1', 'shop', 'till', 'u1', 'Wanted', 'till-1', 'sha256:1', 2, '', 60, 'r', 'w', NULL,
        NULL, 2, 2, false);
      INSERT INTO delivery VALUES ('s1', 'shop', 'till', 'u0', 'Removed', '', '', 2, '', 60, '', '', NULL, NULL, 3, 3,
        false)`);
    await connection.close();
    const store = await openPostgresStoreForTest(t, url);
    const { rows, ...site } = await store.fleet.siteState('s1');
    assert.deepEqual(site, { site: 's1', epoch: 3, variables: { a: 1 }, policy: defaultSitePolicy });
    assert.deepEqual(
      rows.map(({ phase, digest, epoch, terms, removal }) => [phase, digest, epoch, terms, removal]),
      [
        ['Removed', '', 2, defaultItemTerms, 'Delete'],
        ['Wanted', 'sha256:1', 2, defaultItemTerms, 'Delete'],
      ],
    );
    assert.deepEqual((await store.verify(signal)).problems, []);
  });
});
