import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { conflict } from '@selvedge/api';
import { createLogger } from '@selvedge/api/node';
import { FakeClock } from '@selvedge/testkit';
import { type ControllerOptions, type KeySource, runController, TerminalError } from './controller.ts';

/** Keys that a test enqueues by hand. */
function handSource(): KeySource & { enqueue(key: string): void; subscribers: number } {
  const subscribers = new Set<(key: string) => void>();
  return {
    subscribe: (enqueue) => {
      subscribers.add(enqueue);
      return () => subscribers.delete(enqueue);
    },
    enqueue: (key) => {
      for (const each of subscribers) each(key);
    },
    get subscribers() {
      return subscribers.size;
    },
  };
}

function startController(
  reconcile: ControllerOptions['reconcile'],
  options: { concurrency?: number; sources?: KeySource[] } = {},
) {
  const clock = new FakeClock();
  const source = handSource();
  const stop = new AbortController();
  const lines: { level: string; msg: string; object?: string }[] = [];
  const logger = createLogger({
    level: 'debug',
    destination: { write: (line) => lines.push(JSON.parse(line) as (typeof lines)[0]) },
  });
  const stopped = runController({
    name: 'test',
    sources: [source, ...(options.sources ?? [])],
    reconcile,
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    clock,
    logger,
    signal: stop.signal,
    random: () => 1,
  });
  return { clock, source, stop: () => stop.abort(), stopped, lines };
}

describe('controller', () => {
  test('a key that a source names is reconciled, and again after the seconds that the reconcile asks for', async () => {
    const seen: string[] = [];
    const { clock, source, stop, stopped } = startController(async (key) => {
      seen.push(key);
      return seen.length < 3 ? { requeueAfterSeconds: 30 } : 'done';
    });
    source.enqueue('a');
    await clock.advance(29_000);
    assert.deepEqual(seen, ['a']);
    await clock.advance(1_000);
    assert.deepEqual(seen, ['a', 'a']);
    await clock.advance(3600_000);
    assert.deepEqual(seen, ['a', 'a', 'a']);
    stop();
    await stopped;
  });

  test('nothing is reconciled before every source is synced', async () => {
    let markSynced: () => void = () => undefined;
    const late: KeySource = {
      subscribe: () => () => undefined,
      synced: new Promise((resolve) => {
        markSynced = resolve;
      }),
    };
    const seen: string[] = [];
    const { clock, source, stop, stopped } = startController(
      async (key) => {
        seen.push(key);
        return 'done';
      },
      { sources: [late] },
    );
    source.enqueue('a');
    await clock.advance(1000);
    assert.deepEqual(seen, []);
    markSynced();
    await clock.advance(0);
    assert.deepEqual(seen, ['a']);
    stop();
    await stopped;
  });

  test('an error is retried with growing delays and logged with its key', async () => {
    let attempts = 0;
    const { clock, source, stop, stopped, lines } = startController(async () => {
      attempts += 1;
      if (attempts < 4) throw new Error('no luck');
      return 'done';
    });
    source.enqueue('shop/till');
    await clock.advance(50 + 100 + 200);
    assert.equal(attempts, 4);
    await clock.advance(3600_000);
    assert.equal(attempts, 4);
    const warnings = lines.filter((line) => line.level === 'warn');
    assert.equal(warnings.length, 3);
    assert.equal(warnings[0]?.object, 'shop/till');
    stop();
    await stopped;
  });

  test('conflicts are retried quietly, and warned of when they do not end', async () => {
    const { clock, source, stop, stopped, lines } = startController(async () => {
      throw conflict({ plural: 'sites' }, 'shop-1', 'it changed');
    });
    source.enqueue('shop-1');
    await clock.advance(50 + 100 + 200);
    assert.deepEqual(
      lines.filter((line) => line.level === 'warn'),
      [],
    );
    await clock.advance(120_000);
    assert.notEqual(lines.filter((line) => line.level === 'warn').length, 0);
    stop();
    await stopped;
  });

  test('a terminal error is not retried, but the key comes back when it is named again', async () => {
    let attempts = 0;
    const { clock, source, stop, stopped, lines } = startController(async () => {
      attempts += 1;
      throw new TerminalError('the spec cannot be honoured');
    });
    source.enqueue('a');
    await clock.advance(3600_000);
    assert.equal(attempts, 1);
    assert.equal(lines.filter((line) => line.level === 'error').length, 1);
    source.enqueue('a');
    await clock.advance(0);
    assert.equal(attempts, 2);
    stop();
    await stopped;
  });

  test('several workers share the keys, one key is with one worker', async () => {
    const running = new Map<string, number>();
    let most = 0;
    const clockOf: { clock?: FakeClock } = {};
    const { clock, source, stop, stopped } = startController(
      async (key) => {
        running.set(key, (running.get(key) ?? 0) + 1);
        assert.equal(running.get(key), 1);
        most = Math.max(most, running.size);
        await clockOf.clock?.sleep(1000);
        running.delete(key);
        return 'done';
      },
      { concurrency: 3 },
    );
    clockOf.clock = clock;
    for (const key of ['a', 'b', 'c', 'd', 'a']) source.enqueue(key);
    await clock.advance(0);
    source.enqueue('a');
    assert.equal(running.size, 3);
    await clock.advance(5000);
    assert.equal(most, 3);
    assert.equal(running.size, 0);
    stop();
    await stopped;
  });

  test('stopping waits for the running reconcile and takes no further key', async () => {
    const seen: string[] = [];
    let finish: () => void = () => undefined;
    const { clock, source, stop, stopped } = startController(async (key) => {
      seen.push(key);
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return 'done';
    });
    source.enqueue('a');
    source.enqueue('b');
    await clock.advance(0);
    let isStopped = false;
    void stopped.then(() => {
      isStopped = true;
    });
    stop();
    await clock.advance(0);
    assert.equal(isStopped, false);
    finish();
    await stopped;
    assert.deepEqual(seen, ['a']);
    assert.equal(source.subscribers, 0);
  });

  test('stopping before the sources are synced ends at once', async () => {
    const never: KeySource = { subscribe: () => () => undefined, synced: new Promise(() => undefined) };
    const { stop, stopped } = startController(async () => 'done', { sources: [never] });
    stop();
    await stopped;
  });
});
