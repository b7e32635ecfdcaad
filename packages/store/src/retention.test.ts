import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { defaultItemTerms } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import { RetentionWindow } from './retention.ts';
import { folderForTest, openStoreForTest } from './testing/open-test-store.ts';

const policy = { revisions: 100, milliseconds: 1000, intervalMilliseconds: 100 };

test('a revision may be forgotten when it is old and not among the newest', () => {
  const window = new RetentionWindow(policy);
  assert.equal(window.observe(0, 500), 0, 'nothing is known to be old yet');
  assert.equal(window.observe(900, 900), 0);
  assert.equal(window.observe(1000, 900), 500, 'old enough and far enough behind');
  assert.equal(window.observe(1500, 950), 500);
  assert.equal(window.observe(1900, 950), 850, 'old enough, but the newest 100 stay');
});

test('when the clock is set back ages are measured anew, and nothing is kept for ever', () => {
  const window = new RetentionWindow(policy);
  window.observe(1_000_000, 500);
  assert.equal(window.observe(1_001_000, 900), 500);
  assert.equal(window.observe(1_000, 1000), 0);
  assert.equal(window.observe(1_999, 1100), 0);
  assert.equal(window.observe(2_000, 1200), 1000);
});

test('a quiet or young store forgets nothing', () => {
  const window = new RetentionWindow(policy);
  assert.equal(window.observe(0, 50), 0);
  assert.equal(window.observe(5000, 60), 0);
  assert.equal(window.observe(10_000, 60), 0);
});

test('the store compacts itself: superseded states and rows of forgotten sites go, the rest stays', async (t) => {
  const clock = new FakeClock();
  const path = join(folderForTest(t), 'store.db');
  const { objects, fleet } = await openStoreForTest(t, path, {
    clock,
    retention: { revisions: 5, milliseconds: 60_000, intervalMilliseconds: 10_000 },
  });
  const key = { resource: 'things', namespace: '', name: 'a' };
  let { revision } = await objects.create(key, '{}');
  const site = {
    site: 's1',
    namespace: 'n',
    application: 'a',
    applicationUid: 'u',
    release: 'r',
    digest: 'd',
  };
  await fleet.assign([{ ...site, deadlineSeconds: 1, terms: defaultItemTerms, rollout: '', wave: '' }]);
  await fleet.forgetSite('s1');
  for (let i = 0; i < 20; i++) ({ revision } = await objects.update(key, `{"i":${i}}`, revision));
  await clock.advance(30_000);
  assert.equal((await objects.list({ resource: 'things', atRevision: 2 })).objects.length, 1, 'still young');
  await clock.advance(90_000);
  await assert.rejects(objects.list({ resource: 'things', atRevision: 2 }), { reason: 'Expired' });
  await assert.rejects(fleet.listDeliveries({ sinceRevision: 2 }), { reason: 'Expired' });
  assert.deepEqual((await fleet.listDeliveries({ sinceRevision: revision })).rows, []);
  const then = await objects.list({ resource: 'things', atRevision: revision - 5 });
  assert.deepEqual(
    then.objects.map((object) => object.body),
    ['{"i":14}'],
  );
});

test('a watcher without news learns how far the store is', async (t) => {
  const clock = new FakeClock();
  const path = join(folderForTest(t), 'store.db');
  const { objects } = await openStoreForTest(t, path, { clock });
  const stop = new AbortController();
  const events = objects
    .watch({ resource: 'quiet', fromRevision: 1, signal: stop.signal })
    [Symbol.asyncIterator]();
  assert.deepEqual((await events.next()).value, { type: 'progress', revision: 1 });
  const next = events.next();
  await clock.advance(20_000);
  await objects.create({ resource: 'busy', namespace: '', name: 'a' }, '{}');
  await clock.advance(20_000);
  assert.deepEqual((await next).value, { type: 'progress', revision: 2 });
  stop.abort();
});
