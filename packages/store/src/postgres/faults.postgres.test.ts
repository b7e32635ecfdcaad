import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { defaultSitePolicy, isStatusError, type LogFields, type Logger } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import { startTcpLink } from '@selvedge/testkit';
import type { ObjectKey, Store, StoreEvent } from '../index.ts';
import {
  needsPostgres,
  openPostgresStoreForTest,
  openTestPostgresStore,
  PostgresForTests,
} from '../testing/postgres-databases.ts';
import { Connection } from './connection.ts';
import { ConnectionPool } from './connection-pool.ts';
import { parseStoreUrl } from './connection-settings.ts';

const key = (name: string): ObjectKey => ({ resource: 'things.example', namespace: 'shop', name });

async function eventually(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 1200; attempt++) {
    if (await check()) return;
    await systemClock.sleep(50);
  }
  throw new Error(`${what} did not come true within a minute`);
}

/** Creates objects until told to stop, and notes how each creation ended. */
class Creator {
  readonly acknowledged = new Map<string, number>();
  readonly notWritten: string[] = [];
  readonly unknown: string[] = [];
  readonly wrongs: string[] = [];
  readonly #done: Promise<void[]>;

  constructor(store: Store, name: string, stop: AbortSignal) {
    this.#done = Promise.all([0, 1, 2, 3].map((part) => this.#create(store, `${name}-${part}`, stop)));
  }

  async end(): Promise<void> {
    await this.#done;
  }

  async #create(store: Store, name: string, stop: AbortSignal): Promise<void> {
    for (let i = 0; !stop.aborted; i++) {
      const at = key(`${name}-${i}`);
      try {
        const { revision } = await store.objects.create(at, '{}');
        this.acknowledged.set(at.name, revision);
      } catch (error) {
        if (isStatusError(error, 'ServiceUnavailable')) this.notWritten.push(at.name);
        else if (isStatusError(error, 'Timeout')) this.unknown.push(at.name);
        // Every name is asked for once: it can only exist already when a write was done twice.
        else this.wrongs.push(String(error));
        await systemClock.sleep(20);
      }
    }
  }
}

/** Collects what a watch gives; ends with the signal. */
function follow(store: Store, signal: AbortSignal): StoreEvent[] {
  const events: StoreEvent[] = [];
  void (async () => {
    for await (const event of store.objects.watch({ resource: 'things.example', fromRevision: 1, signal })) {
      if (event.type !== 'progress') events.push(event);
    }
  })();
  return events;
}

/** What was acknowledged is there at its revision, what was refused is not, and the watches saw each of all once. */
async function compare(
  store: Store,
  creators: readonly Creator[],
  watches: readonly StoreEvent[][],
): Promise<void> {
  const { objects } = await store.objects.list({ resource: 'things.example' });
  const stored = new Map(objects.map((object) => [object.key.name, object.revision]));
  for (const creator of creators) {
    assert.deepEqual(creator.wrongs, []);
    for (const [name, revision] of creator.acknowledged) assert.equal(stored.get(name), revision, name);
    for (const name of creator.notWritten) assert.equal(stored.get(name), undefined, `${name} was refused`);
  }
  const revisions = [...stored.values()].toSorted((a, b) => a - b);
  for (const events of watches) {
    await eventually('the watch', () => events.length >= revisions.length);
    assert.deepEqual(
      events.map((event) => (event.type === 'progress' ? 0 : event.object.revision)),
      revisions,
    );
  }
}

describe('a PostgreSQL store in trouble', needsPostgres, () => {
  const postgres = new PostgresForTests({ isDurable: true });

  async function openTwo(t: TestContext): Promise<[Store, Store]> {
    const { url } = await postgres.database(t);
    return Promise.all([openPostgresStoreForTest(t, url), openPostgresStoreForTest(t, url)]);
  }

  test('a server that crashes and comes back under load loses nothing that was acknowledged', async (t) => {
    const stores = await openTwo(t);
    const stop = new AbortController();
    const watches = stores.map((store) => follow(store, stop.signal));
    const writing = new AbortController();
    const creators = stores.map((store, hub) => new Creator(store, `hub${hub}`, writing.signal));
    const written = () => creators.reduce((sum, creator) => sum + creator.acknowledged.size, 0);
    for (let round = 1; round <= 4; round++) {
      const before = written();
      await eventually('some writes', () => written() > before + 40);
      await postgres.server.crash();
      await systemClock.sleep(300 * round);
      await postgres.server.start();
    }
    const before = written();
    await eventually('writes after the last crash', () => written() > before + 40);
    writing.abort();
    await Promise.all(creators.map((creator) => creator.end()));
    await compare(stores[0], creators, watches);
    stop.abort();
  });

  test('sessions that the server ends at any moment cost no write and no event', async (t) => {
    const database = await postgres.database(t);
    const patient = { patienceMilliseconds: 60_000 };
    const stores = await Promise.all([0, 1].map(() => openPostgresStoreForTest(t, database.url, patient)));
    const stop = new AbortController();
    const watches = stores.map((store) => follow(store, stop.signal));
    const writing = new AbortController();
    const creators = stores.map((store, hub) => new Creator(store, `hub${hub}`, writing.signal));
    for (let round = 0; round < 20; round++) {
      await systemClock.sleep(Math.random() * 200);
      await database.sql(
        `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'selvedge objects%'`,
      );
    }
    writing.abort();
    await Promise.all(creators.map((creator) => creator.end()));
    for (const creator of creators) {
      assert.ok(creator.acknowledged.size > 20);
      assert.deepEqual([creator.notWritten, creator.unknown], [[], []], 'the server was there all the time');
    }
    await compare(stores[0] as Store, creators, watches);
    stop.abort();
  });

  test('a database that is away is told within the bound, and found again when it is back', async (t) => {
    const { url } = await postgres.database(t);
    const store = await openPostgresStoreForTest(t, url, { patienceMilliseconds: 500 });
    const made = await store.objects.create(key('before'), '{}');
    await postgres.server.stop();
    for (const work of [
      () => store.objects.find(made.key),
      () => store.objects.list({ resource: 'things.example' }),
      () => store.objects.currentRevision(),
      () => store.objects.create(key('never'), '{}'),
      () => store.fleet.siteState('s1'),
      () => store.fleet.setSiteSettings('s1', { variables: { a: 1 }, policy: defaultSitePolicy }),
      () => store.check(),
    ]) {
      const error = await work().then(
        () => undefined,
        (e: unknown) => e,
      );
      assert.ok(isStatusError(error, 'ServiceUnavailable'), String(error));
      assert.ok((error.details.retryAfterSeconds ?? 0) > 0);
      assert.match(error.message, /database/);
    }
    await postgres.server.start();
    assert.deepEqual(await store.objects.find(made.key), made);
    assert.equal(await store.objects.find(key('never')), undefined);
    await store.objects.create(key('after'), '{}');
    await store.check();
  });

  test('a link that is cut in the middle of a commit leaves the outcome open, and writes it once', async (t) => {
    const { url, name } = await postgres.database(t);
    const link = await startTcpLink({ target: { port: postgres.server.port } });
    t.after(() => link.close());
    const near = `postgres://selvedge@127.0.0.1:${link.port}/${name}`;
    const store = await openPostgresStoreForTest(t, near, { patienceMilliseconds: 300 });
    const other = await openPostgresStoreForTest(t, url);
    await store.objects.create(key('first'), '{}');
    const stop = new AbortController();
    const events = follow(other, stop.signal);
    link.cut();
    const asked = Promise.allSettled([store.objects.create(key('cut'), '{}')]);
    // The link holds it back for longer than the store waits for an answer, then delivers it.
    const [outcome] = await asked;
    assert.equal(outcome?.status, 'rejected');
    assert.ok(outcome.status === 'rejected' && isStatusError(outcome.reason, 'Timeout'));
    assert.match((outcome.reason as Error).message, /may or may not/);
    link.restore();
    await eventually('the way back', () =>
      store.objects.create(key(`later-${Math.random()}`), '{}').then(
        () => true,
        () => false,
      ),
    );
    const { objects } = await other.objects.list({ resource: 'things.example' });
    await eventually('the events', () => events.length === objects.length);
    stop.abort();
  });

  test('a hub that stands still in the middle of a transaction holds the others up for some seconds only', async (t) => {
    const database = await postgres.database(t);
    const store = await openPostgresStoreForTest(t, database.url, { patienceMilliseconds: 20_000 });
    await store.objects.create(key('before'), '{}');
    const settings = parseStoreUrl(database.url);
    const frozen = await Connection.open({ settings, name: 'frozen', statementMilliseconds: 5000 });
    const writer = await database.sql('SELECT max(id) FROM selvedge.writer');
    await frozen.exec(`BEGIN; SELECT begin_commit(${writer})`);
    const [object] = await Promise.all([
      store.objects.create(key('waits'), '{}'),
      store.fleet.setSiteSettings('s1', { variables: { a: 1 }, policy: defaultSitePolicy }),
    ]);
    assert.equal(object.revision, 3);
    assert.ok(frozen.isLost, 'the server has ended its session');
  });

  test('a write that the database cannot hold fails alone', async (t) => {
    const { url } = await postgres.database(t);
    const store = await openPostgresStoreForTest(t, url);
    const long = Array.from({ length: 9000 }, () => Math.random().toString(36)[2]).join('');
    const results = await Promise.allSettled([
      store.objects.create(key('one'), '{}'),
      store.objects.create(key(long), '{}'),
      store.objects.create(key('two'), '{}'),
      store.objects.create(key('nul\u0000'), '{}'),
      store.objects.create(key('three'), '{}'),
    ]);
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? 'written' : result.reason.reason)),
      ['written', 'BadRequest', 'written', 'BadRequest', 'written'],
    );
    assert.equal(await store.objects.currentRevision(), 4);
  });

  test('work that finds all connections in use waits, then is told so', async () => {
    const pool = new ConnectionPool({
      settings: parseStoreUrl(`postgres://selvedge@127.0.0.1:${postgres.server.port}/postgres`),
      name: 'pool',
      statementMilliseconds: 5000,
      size: 1,
      clock: systemClock,
      patienceMilliseconds: 200,
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    const first = pool.run(() => promise);
    await assert.rejects(
      pool.run((connection) => connection.query('SELECT 1')),
      /all 1 connections to the database are in use/,
    );
    const waits = pool.run((connection) => connection.query('SELECT 1 AS one'));
    resolve();
    await first;
    assert.deepEqual(await waits, [{ one: 1 }]);
    await pool.close();
    await assert.rejects(
      pool.run((connection) => connection.query('SELECT 1')),
      /closed/,
    );
  });

  test('two hubs that start at once on an empty database make one schema', async (t) => {
    const { url } = await postgres.database(t);
    const stores = await Promise.all([0, 1, 2].map(() => openPostgresStoreForTest(t, url)));
    for (const [i, store] of stores.entries()) await store.objects.create(key(`n${i}`), '{}');
    assert.equal(await stores[0]?.objects.currentRevision(), 4);
  });
});

describe('opening a PostgreSQL store', needsPostgres, () => {
  const postgres = new PostgresForTests();
  const folder = mkdtempSync(join(tmpdir(), 'selvedge-pw-'));

  test('says what is wrong and what to do, without the password', async (t) => {
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const { server } = postgres;
    const database = await postgres.database(t);
    const { name } = database;
    await server.sql(
      "CREATE ROLE guest LOGIN PASSWORD 'right-pass'; CREATE ROLE locked LOGIN PASSWORD 'right-pass'",
    );
    writeFileSync(
      join(server.directory, 'pg_hba.conf'),
      'host all guest,locked 127.0.0.1/32 scram-sha-256\nlocal all all trust\nhost all selvedge 127.0.0.1/32 trust\n',
    );
    await server.sql('SELECT pg_reload_conf()');
    const at = (user: string, database = name) => `postgres://${user}@127.0.0.1:${server.port}/${database}`;
    const wrong: [url: string, message: RegExp][] = [
      [at('guest:wrong-pass'), /password is wrong/],
      [at('guest:right-pass', 'nowhere'), /no such database/],
      [at('guest:right-pass'), /lacks rights/],
      [at('nobody'), /pg_hba\.conf/],
      ['postgres://guest:right-pass@127.0.0.1:1/x', /nobody listens there/],
      [`${at('selvedge')}?sslmode=require`, /does not support SSL/],
      [`${at('selvedge')}?sslmode=maybe`, /sslmode must be one of/],
      [`${at('selvedge')}?sslrotcert=x`, /unknown parameters: sslrotcert/],
      [`${at('selvedge')}?sslrootcert=/nowhere/ca.pem`, /sslrootcert cannot be read/],
      ['mysql://guest:right-pass@127.0.0.1/x', /must be postgres:/],
    ];
    for (const [url, message] of wrong) {
      const error = await openTestPostgresStore(url, { patienceMilliseconds: 200 }).then(
        () => undefined,
        (e: unknown) => e,
      );
      assert.ok(isStatusError(error), `${url}: ${String(error)}`);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /right-pass|wrong-pass/);
    }
    await database.sql('CREATE SCHEMA selvedge AUTHORIZATION guest');
    const passwordFile = join(folder, 'password');
    writeFileSync(passwordFile, 'right-pass\n', { mode: 0o644 });
    await assert.rejects(openTestPostgresStore(at('guest'), { passwordFile }), /can be read by others/);
    rmSync(passwordFile);
    writeFileSync(passwordFile, 'right-pass\n', { mode: 0o600 });
    const lines: string[] = [];
    const store = await openTestPostgresStore(at('guest'), { passwordFile, logger: collectingLogger(lines) });
    await store.objects.create(key('a'), '{}');
    await store.close();
    assert.ok(lines.length > 0);
    assert.doesNotMatch(lines.join('\n'), /right-pass/);
  });

  test('a newer schema is refused, and so are other keys', async (t) => {
    const database = await postgres.database(t);
    const { url } = database;
    const identity = { hubId: 'hub-1', caFingerprint: 'AA' };
    const keys = { active: new Uint8Array(32).fill(1), others: [] };
    await (await openTestPostgresStore(url, { identity, keys })).close();
    const other = { hubId: 'hub-2', caFingerprint: 'BB' };
    await assert.rejects(
      openTestPostgresStore(url, { identity: other, keys }),
      /belongs to hub hub-1 .* hub-2/,
    );
    await assert.rejects(openTestPostgresStore(url, { identity }), /encrypted/);
    const otherKeys = { active: new Uint8Array(32).fill(2), others: [] };
    await assert.rejects(openTestPostgresStore(url, { identity, keys: otherKeys }), /key/);
    await database.sql('UPDATE selvedge.schema_version SET version = 99');
    await assert.rejects(openTestPostgresStore(url, { identity, keys }), /schema version 99/);
  });
});

function collectingLogger(lines: string[]): Logger {
  const log = (message: string, fields: LogFields = {}) => {
    lines.push(`${message} ${JSON.stringify(fields)}`);
  };
  return { debug: log, info: log, warn: log, error: log, child: () => collectingLogger(lines) };
}
