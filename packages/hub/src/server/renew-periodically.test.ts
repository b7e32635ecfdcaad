import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { renewPeriodically } from './renew-periodically.ts';

test('every certificate is looked at twice a day; one that fails is tried again and does not keep the others from it', async () => {
  const clock = new FakeClock();
  const stop = new AbortController();
  const looked: string[] = [];
  let isFull = true;
  const renewal = renewPeriodically({
    renewals: {
      server: async () => {
        if (isFull) throw new Error('disk full');
        looked.push('server');
      },
      admin: async () => void looked.push('admin'),
    },
    clock,
    logger: createLogger({ level: 'silent' }),
    random: () => 0.5,
    signal: stop.signal,
  });
  await clock.advance(12 * 3_600_000);
  assert.deepEqual(looked, ['admin']);
  isFull = false;
  await clock.advance(12 * 3_600_000);
  assert.deepEqual(looked, ['admin', 'server', 'admin']);
  stop.abort();
  await renewal;
  assert.equal(clock.sleeping, 0);
});
