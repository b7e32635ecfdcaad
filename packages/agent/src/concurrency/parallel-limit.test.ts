import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';
import { ParallelLimit } from './parallel-limit.ts';

test('no more than the limit run at a time, all run, and a failure frees its place', async () => {
  const limit = new ParallelLimit(3);
  let running = 0;
  let most = 0;
  const done: number[] = [];
  const work = (number: number) =>
    limit.run(async () => {
      running += 1;
      most = Math.max(most, running);
      await setImmediate();
      running -= 1;
      done.push(number);
      if (number % 4 === 0) throw new Error('no');
    });
  await Promise.allSettled(Array.from({ length: 20 }, (_, number) => work(number)));
  assert.equal(most, 3);
  assert.equal(done.length, 20);
});
