import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { openDb } from './db.ts';
import { GroupCommit } from './group-commit.ts';
import { HeartbeatBatch } from './heartbeat-batch.ts';
import { migrate } from './migrate.ts';

test('heartbeats are written together, at most once a second, and kept for the next try when that fails', async (t) => {
  const db = openDb(':memory:');
  t.after(() => db.close());
  migrate(db);
  const clock = new FakeClock();
  const logger = createLogger({ level: 'silent' });
  const heartbeats = new HeartbeatBatch({ db, commits: new GroupCommit(db, logger), clock, logger });
  const written = () =>
    db
      .all<{ line: string }>("SELECT site || ' ' || agent_epoch AS line FROM heartbeat")
      .map((row) => row.line);
  const touch = (site: string, agentEpoch: number) =>
    heartbeats.touch({ site, lastSeenAt: clock.now().toISOString(), agentEpoch, agentStateDigest: '' });

  touch('s1', 1);
  touch('s2', 1);
  touch('s1', 2);
  await clock.advance(999);
  assert.deepEqual(written(), []);
  await clock.advance(1);
  assert.deepEqual(written(), ['s1 2', 's2 1']);
  assert.equal(clock.sleeping, 0, 'nothing runs while nobody is seen');

  touch('s1', 3);
  await clock.advance(500);
  touch('s1', 4);
  db.exec('PRAGMA query_only = ON');
  await clock.advance(600);
  assert.deepEqual(written(), ['s1 2', 's2 1']);
  assert.equal(heartbeats.all().get('s1')?.agentEpoch, 4);
  db.exec('PRAGMA query_only = OFF');
  await clock.advance(1000);
  assert.deepEqual(written(), ['s1 4', 's2 1']);

  touch('s3', 1);
  await heartbeats.close();
  assert.deepEqual(written(), ['s1 4', 's2 1', 's3 1']);
  touch('s4', 1);
  assert.equal(heartbeats.all().has('s4'), false);
});
