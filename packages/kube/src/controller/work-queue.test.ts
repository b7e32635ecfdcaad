import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeClock } from '@selvedge/testkit';
import fc from 'fast-check';
import { createWorkQueue } from './work-queue.ts';

const start = () => {
  const clock = new FakeClock();
  return { clock, queue: createWorkQueue({ clock, random: () => 1 }) };
};

describe('work queue', () => {
  test('a key added many times is handed out once', async () => {
    const { queue } = start();
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
    assert.equal(queue.length, 2);
    assert.equal(await queue.take(), 'a');
    assert.equal(await queue.take(), 'b');
    assert.equal(queue.length, 0);
  });

  test('a key added while a worker has it comes again after done, not before', async () => {
    const { queue } = start();
    queue.add('a');
    assert.equal(await queue.take(), 'a');
    queue.add('a');
    queue.add('a');
    assert.equal(queue.length, 0);
    queue.done('a');
    assert.equal(queue.length, 1);
    assert.equal(await queue.take(), 'a');
    queue.done('a');
    assert.equal(queue.length, 0);
  });

  test('a waiting taker gets the next key', async () => {
    const { queue } = start();
    const taken = queue.take();
    queue.add('a');
    assert.equal(await taken, 'a');
  });

  test('a delayed key comes when its time is there, the earliest of several', async () => {
    const { clock, queue } = start();
    queue.addAfter('a', 10_000);
    queue.addAfter('a', 5_000);
    queue.addAfter('a', 7_000);
    await clock.advance(4_999);
    assert.equal(queue.length, 0);
    await clock.advance(1);
    assert.equal(await queue.take(), 'a');
    queue.done('a');
    await clock.advance(60_000);
    assert.equal(queue.length, 0);
  });

  test('a delay longer than a timer can hold does not fire at once', async () => {
    const { clock, queue } = start();
    queue.addAfter('a', Number.POSITIVE_INFINITY);
    await clock.advance(24 * 3600_000);
    assert.equal(queue.length, 0);
    queue.shutdown();
    assert.equal(clock.sleeping, 0);
  });

  test('back-off doubles with each failure up to its limit and starts anew after forget', () => {
    const { queue } = start();
    const delays = Array.from({ length: 12 }, () => queue.addAfterFailure('a'));
    assert.deepEqual(delays.slice(0, 4), [50, 100, 200, 400]);
    assert.equal(delays.at(-1), 60_000);
    queue.forget('a');
    assert.equal(queue.addAfterFailure('a'), 50);
    queue.shutdown();
  });

  test('shutdown wakes takers, cancels delays and ignores later adds', async () => {
    const { clock, queue } = start();
    const taken = queue.take();
    queue.addAfter('a', 1000);
    queue.shutdown();
    assert.equal(await taken, undefined);
    assert.equal(clock.sleeping, 0);
    queue.add('b');
    queue.addAfter('c', 1);
    assert.equal(await queue.take(), undefined);
    assert.equal(queue.length, 0);
  });

  test('whatever the order of calls, no key is with two workers and none that was added is lost', async () => {
    const command = fc.oneof(
      fc.record({ do: fc.constant('add' as const), key: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ do: fc.constant('take' as const), key: fc.constant('') }),
      fc.record({ do: fc.constant('done' as const), key: fc.constantFrom('a', 'b', 'c') }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
        const { queue } = start();
        const active = new Set<string>();
        const wanted = new Set<string>();
        for (const { do: what, key } of commands) {
          if (what === 'add') {
            queue.add(key);
            wanted.add(key);
          } else if (what === 'take' && queue.length > 0) {
            const taken = (await queue.take()) ?? '';
            assert.ok(wanted.delete(taken) && !active.has(taken));
            active.add(taken);
          } else if (what === 'done' && active.delete(key)) {
            queue.done(key);
          }
        }
        for (const key of active) queue.done(key);
        assert.equal(queue.length, wanted.size);
        while (queue.length > 0) assert.ok(wanted.delete((await queue.take()) ?? ''));
      }),
      { numRuns: 200 },
    );
  });
});
