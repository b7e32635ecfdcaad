import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pacedReading } from './paced-reading.ts';

/** A reading that takes so long, and what it costs. */
function slowReading(milliseconds: number) {
  const clock = { ms: 0, now: () => new Date(clock.ms) };
  const counted = { clock, count: 0 };
  const read = pacedReading(async () => {
    counted.count += 1;
    clock.ms += milliseconds;
    return counted.count;
  }, clock);
  return Object.assign(counted, { read });
}

describe('what is read for a screen again and again', () => {
  test('takes a twentieth of the time where it is large', async () => {
    const slow = slowReading(1000);
    for (let i = 0; i < 100; i++) {
      await slow.read();
      slow.clock.ms += 1000;
    }
    assert.ok(slow.count >= 5 && slow.count <= 6, `${slow.count} readings`);
  });

  test('is new each time where it costs nothing', async () => {
    const quick = slowReading(0);
    assert.deepEqual([await quick.read(), await quick.read()], [1, 2]);
  });

  test('is made again when it failed', async () => {
    let count = 0;
    const read = pacedReading(
      async () => {
        count += 1;
        if (count === 1) throw new Error('away');
        return count;
      },
      { now: () => new Date(0) },
    );
    await assert.rejects(read, /away/);
    assert.equal(await read(), 2);
  });
});
