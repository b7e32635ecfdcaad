import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '@selvedge/api';
import { FakeClock } from '@selvedge/testkit';
import { TokenBucket } from './token-bucket.ts';

/** Time that passes only by waiting. */
class WaitedTime implements Clock {
  ms = 0;
  now(): Date {
    return new Date(this.ms);
  }
  async sleep(milliseconds: number): Promise<void> {
    this.ms += milliseconds;
  }
}

test('over time no more passes than the cap allows, and no less', async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 50 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: 1_000, max: 1_000_000 }), async (pieces, bytesPerSecond) => {
      const clock = new WaitedTime();
      const bucket = new TokenBucket({
        bytesPerSecond: () => bytesPerSecond,
        clock,
        monotonicMs: () => clock.ms,
      });
      let passed = 0;
      for (const piece of pieces) {
        await bucket.take(piece, new AbortController().signal);
        passed += piece;
        const most = (bytesPerSecond * (clock.ms + 250)) / 1000;
        assert.ok(passed <= most + 1, `${passed} bytes after ${clock.ms} ms`);
      }
      assert.ok(clock.ms <= (passed / bytesPerSecond) * 1000 + 1);
    }),
    { numRuns: 100 },
  );
});

test('who takes beside others waits for them too, and a cap that is lifted counts at once', async () => {
  const clock = new WaitedTime();
  let cap: number | undefined = 1000;
  const bucket = new TokenBucket({ bytesPerSecond: () => cap, clock, monotonicMs: () => clock.ms });
  const { signal } = new AbortController();
  await Promise.all([bucket.take(1000, signal), bucket.take(1000, signal), bucket.take(1000, signal)]);
  assert.ok(clock.ms >= 2750, `${clock.ms}`);
  cap = undefined;
  const before = clock.ms;
  await bucket.take(1_000_000, signal);
  assert.equal(clock.ms, before);
});

test('a cap that is raised counts within a second, also for those who wait', async () => {
  const clock = new FakeClock();
  let cap = 1000;
  const bucket = new TokenBucket({
    bytesPerSecond: () => cap,
    clock,
    monotonicMs: () => clock.now().getTime(),
  });
  const { signal } = new AbortController();
  let passed = 0;
  const taking = [1, 2, 3].map(() => bucket.take(65_000, signal).then(() => (passed += 1)));
  await clock.advance(10_000);
  assert.equal(passed, 0);
  cap = 10_000_000;
  await clock.advance(1500);
  assert.equal(passed, 3);
  await Promise.all([...taking, bucket.take(100, signal)]);
});
