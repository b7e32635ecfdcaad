import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeClock } from './fake-clock.ts';

describe('FakeClock', () => {
  test('wakes sleepers in the order of their time, each seeing its own time', async () => {
    const clock = new FakeClock('2026-01-01T00:00:00Z');
    const seen: string[] = [];
    const sleeper = async (name: string, ms: number) => {
      await clock.sleep(ms);
      seen.push(`${name}@${clock.now().toISOString()}`);
    };
    const all = [sleeper('late', 2000), sleeper('early', 1000), sleeper('never', 9000)];
    await clock.advance(3000);
    assert.deepEqual(seen, ['early@2026-01-01T00:00:01.000Z', 'late@2026-01-01T00:00:02.000Z']);
    assert.equal(clock.now().toISOString(), '2026-01-01T00:00:03.000Z');
    assert.equal(clock.sleeping, 1);
    await clock.advance(9000);
    await Promise.all(all);
  });

  test('also wakes sleeps that begin on the way', async () => {
    const clock = new FakeClock();
    let ticks = 0;
    const stop = new AbortController();
    const loop = (async () => {
      while (!stop.signal.aborted) {
        await clock.sleep(1000, stop.signal);
        ticks++;
      }
    })();
    await clock.advance(5500);
    assert.equal(ticks, 5);
    stop.abort();
    await loop;
    assert.equal(clock.sleeping, 0);
  });

  test('an abort ends a sleep at once', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const slept = clock.sleep(1e9, stop.signal);
    stop.abort();
    await slept;
    await clock.sleep(1e9, stop.signal);
  });
});
