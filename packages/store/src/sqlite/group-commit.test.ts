import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { openDb, type Db } from './db.ts';
import { GroupCommit } from './group-commit.ts';
import { migrate } from './migrate.ts';

function openForTest(t: TestContext): { db: Db; commits: GroupCommit } {
  const db = openDb(':memory:');
  t.after(() => db.close());
  migrate(db);
  return { db, commits: new GroupCommit(db, createLogger({ level: 'silent' })) };
}

const insert = (db: Db, site: string) =>
  db.run("INSERT INTO site_state (site, epoch, variables) VALUES (?, 1, '{}')", [site]);
const stored = (db: Db) => db.all<{ site: string }>('SELECT site FROM site_state').map((row) => row.site);

test('writes of one turn share one transaction', async (t) => {
  const { db, commits } = openForTest(t);
  let transactions = 0;
  const counting: Db = {
    exec: (sql) => db.exec(sql),
    step: (sql) => {
      if (sql === 'COMMIT') transactions++;
      db.step(sql);
    },
    run: (sql, values) => db.run(sql, values),
    get: (sql, values) => db.get(sql, values),
    all: (sql, values) => db.all(sql, values),
    iterate: (sql, values) => db.iterate(sql, values),
    close: () => db.close(),
    get inTransaction() {
      return db.inTransaction;
    },
    get bytesWritten() {
      return db.bytesWritten;
    },
  };
  const counted = new GroupCommit(counting, createLogger({ level: 'silent' }));
  await Promise.all(Array.from({ length: 100 }, (_, i) => counted.write(() => insert(db, `s${i}`))));
  assert.equal(transactions, 1);
  assert.equal(stored(db).length, 100);
  await commits.close();
});

test('a write that throws half-way is undone alone: rows, revision and actions', async (t) => {
  const { db, commits } = openForTest(t);
  const actions: string[] = [];
  const write = (site: string, fault?: Error) =>
    commits.write((scope) => {
      insert(db, site);
      scope.afterCommit(() => actions.push(site));
      const revision = scope.takeRevision();
      if (fault) throw fault;
      return revision;
    });
  const results = await Promise.allSettled([write('a'), write('b', new Error('half-way')), write('c')]);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : result.reason.message)),
    [2, 'half-way', 3],
  );
  assert.deepEqual(stored(db), ['a', 'c']);
  assert.deepEqual(actions, ['a', 'c']);
  assert.equal(commits.revision, 3);
});

test('when the transaction is lost on the way its writes are tried again one by one', async (t) => {
  const { db, commits } = openForTest(t);
  const lose = () =>
    commits.write(() => {
      db.exec('ROLLBACK'); // as SQLite itself does after some I/O errors
      db.exec('SELECT * FROM no_such_table');
    });
  const write = (site: string) =>
    commits.write((scope) => {
      insert(db, site);
      return scope.takeRevision();
    });
  const results = await Promise.allSettled([write('a'), lose(), write('b')]);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : result.status)),
    [2, 'rejected', 3],
  );
  assert.deepEqual(stored(db), ['a', 'b']);
});

test('effects of a write are seen before its promise resolves, and by nobody before the commit', async (t) => {
  const { db, commits } = openForTest(t);
  const order: string[] = [];
  const first = commits.write((scope) => {
    scope.takeRevision();
    scope.afterCommit(() => order.push(`action at ${commits.revision}, in transaction: ${db.inTransaction}`));
    order.push(`work at ${commits.revision}`);
  });
  await first.then(() => order.push('resolved'));
  assert.deepEqual(order, ['work at 1', 'action at 2, in transaction: false', 'resolved']);
});

test('closing settles what is queued, more than one commit holds too, and refuses the rest', async (t) => {
  const { db, commits } = openForTest(t);
  const writes = Array.from({ length: 1200 }, (_, i) => commits.write(() => insert(db, `s${i}`)));
  await commits.close();
  await assert.rejects(
    commits.write(() => {}),
    { reason: 'ServiceUnavailable' },
  );
  await Promise.all(writes);
  assert.equal(stored(db).length, 1200);
});
