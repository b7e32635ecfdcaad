import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { Limiter } from './limiter.ts';

test('no more run at once than allowed, in the order of asking, failures included', async () => {
  const limiter = new Limiter(2);
  const started: number[] = [];
  let running = 0;
  let most = 0;
  const outcomes = await Promise.allSettled(
    Array.from({ length: 9 }, (_, i) =>
      limiter.run(async () => {
        started.push(i);
        running += 1;
        most = Math.max(most, running);
        await setImmediate();
        running -= 1;
        if (i % 3 === 0) throw new Error('no');
        return i;
      }),
    ),
  );
  assert.equal(most, 2);
  assert.deepEqual(started, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(
    outcomes.map((o) => o.status === 'fulfilled'),
    [false, true, true, false, true, true, false, true, true],
  );
  assert.equal(await limiter.run(async () => 'again'), 'again');
});
