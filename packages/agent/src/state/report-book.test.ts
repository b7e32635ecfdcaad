import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { makeStateDir } from '../testing/test-agent.ts';
import { AgentDatabase } from './agent-database.ts';
import { ReportBook, type UnnumberedReport } from './report-book.ts';

const report: UnnumberedReport = {
  id: 'Application/default/till',
  uid: 'u',
  epoch: 1,
  release: 'till-1',
  digest: 'sha256:1',
  state: 'Running',
  sinceTime: '2026-01-01T00:00:00.000Z',
  observedTime: '2026-01-01T00:00:00.000Z',
};

describe('the book of reports', () => {
  test('the newest of each item is kept over a restart, numbers are never used twice', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    const book = new ReportBook(database);
    assert.equal(book.record(report), 'changed');
    assert.equal(book.record({ ...report, state: 'Degraded' }), 'changed');
    book.markDelivered(book.all());
    const before = book.all();
    database.close();

    const opened = AgentDatabase.open(dir.path);
    const again = new ReportBook(opened);
    assert.deepEqual(again.all(), before);
    assert.deepEqual(again.undelivered(), []);
    assert.equal(again.digest(), book.digest());
    again.record({ ...report, state: 'Running' });
    assert.ok((again.all()[0]?.seq ?? 0) > (before[0]?.seq ?? 0));
    opened.close();
  });

  test('what was said before is dropped, until it is old news that it still holds', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    const book = new ReportBook(database);
    book.record(report);
    assert.equal(book.record({ ...report, observedTime: '2026-01-01T00:01:00.000Z' }), 'unchanged');
    assert.equal(book.record({ ...report, observedTime: '2026-01-01T00:06:00.000Z' }), 'renewed');
    assert.equal(book.record({ ...report, epoch: 2 }), 'changed');
    database.close();
  });

  test('after the disk was lost, numbers go on above those that the hub knows', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    const book = new ReportBook(database);
    book.record(report);
    book.markDelivered(book.all());
    assert.equal(book.renumberAbove(5000), true);
    assert.deepEqual(
      book.undelivered().map((one) => one.seq),
      [5001],
    );
    assert.equal(book.renumberAbove(5001), false);
    database.close();
  });

  test('an acknowledgement of an older report does not count for a newer one', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    const book = new ReportBook(database);
    book.record(report);
    const sent = book.undelivered();
    book.record({ ...report, state: 'Failed' });
    book.markDelivered(sent);
    assert.equal(book.undelivered()[0]?.state, 'Failed');
    database.close();
  });

  test('with a full database reports are still made and sent, and saved when there is space', async () => {
    await using dir = await makeStateDir();
    const database = AgentDatabase.open(dir.path);
    const book = new ReportBook(database);
    book.record(report);
    const pages = Number(database.find('PRAGMA page_count')?.['page_count']);
    database.find(`PRAGMA max_page_count=${pages}`);
    const long = { ...report, message: 'x'.repeat(8000) };
    for (let n = 0; n < 20; n++) book.record({ ...long, id: `${report.id}-${n}` });
    assert.equal(book.undelivered().length, 21);
    assert.equal(book.save(), false);
    assert.ok(database.all('SELECT id FROM reports').length < 21);
    database.find('PRAGMA max_page_count=100000');
    assert.equal(book.save(), true);
    assert.equal(database.all('SELECT id FROM reports').length, 21);
    database.close();
  });
});
