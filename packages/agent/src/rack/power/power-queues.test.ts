import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { FakeClock } from '@selvedge/testkit';
import { LoginRefused, PowerError } from './power-driver.ts';
import { PowerQueues } from './power-queues.ts';
import { HastyClock } from './testing/hasty-clock.ts';
import { never } from './testing/test-bmc.ts';

const who = () => ({ login: 'a', signal: never() });
const dead = () => new PowerError('Unavailable', 'nobody is there', { isPassing: true });

test('visits to one BMC never overlap and keep their order; another BMC waits for nobody', async () => {
  const queues = new PowerQueues({ clock: new FakeClock() });
  const order: string[] = [];
  const first = Promise.withResolvers<void>();
  const visits = [
    queues.of('a').visit(who(), async () => {
      order.push('a1 begins');
      await first.promise;
      order.push('a1 ends');
    }),
    queues.of('a').visit(who(), async () => void order.push('a2')),
    queues.of('b').visit(who(), async () => void order.push('b')),
    queues.of('a').visit(who(), async () => void order.push('a3')),
  ];
  await setImmediate();
  first.resolve();
  await Promise.all(visits);
  assert.deepEqual(order, ['a1 begins', 'b', 'a1 ends', 'a2', 'a3']);
});

test('calls keep their distance, across visits too', async () => {
  const clock = new FakeClock();
  const queue = new PowerQueues({ clock, gapMs: 100 }).of('a');
  const times: number[] = [];
  const start = clock.now().getTime();
  const call = () => queue.call(never(), async () => void times.push(clock.now().getTime() - start));
  const visits = [
    queue.visit(who(), async () => {
      await call();
      await call();
    }),
    queue.visit(who(), call),
  ];
  await clock.advance(1_000);
  await Promise.all(visits);
  assert.deepEqual(times, [0, 100, 200]);
});

test('a BMC that is not there is asked less and less often, and at once again after it answered', async () => {
  const clock = new HastyClock();
  const queue = new PowerQueues({ clock }).of('a');
  const visitAfter = async (work: () => Promise<void>) => {
    const asked = clock.now().getTime();
    let waited = 0;
    await queue
      .visit(who(), () => {
        waited = clock.now().getTime() - asked;
        return work();
      })
      .catch((error: unknown) => assert.ok(error instanceof PowerError));
    return waited;
  };
  const waits: number[] = [];
  for (let round = 0; round < 9; round += 1) waits.push(await visitAfter(() => Promise.reject(dead())));
  assert.ok((waits[0] ?? 0) < 500);
  assert.deepEqual(
    waits.slice(0, 6),
    waits.slice(0, 6).toSorted((a, b) => a - b),
  );
  assert.ok(waits.every((wait) => wait <= 30_000));
  assert.ok((waits.at(-1) ?? 0) >= 20_000);
  assert.ok((await visitAfter(async () => undefined)) >= 20_000);
  // The clock goes on by itself; a pause would be a second at least.
  assert.ok((await visitAfter(async () => undefined)) < 500);
});

test('who waited for a BMC that turns out not to be there fails with the same error, at once', async () => {
  const queue = new PowerQueues({ clock: new FakeClock() }).of('a');
  const first = Promise.withResolvers<void>();
  let calls = 0;
  const visit = () =>
    queue.visit(who(), async () => {
      calls += 1;
      await first.promise;
      throw dead();
    });
  const visits = [visit(), visit(), visit()];
  const failed = visits.map((each) => assert.rejects(each, { message: 'nobody is there' }));
  first.resolve();
  await Promise.all(failed);
  assert.equal(calls, 1);
});

test('who gives up while waiting leaves the queue, and the next one goes on', async () => {
  const queue = new PowerQueues({ clock: new FakeClock() }).of('a');
  const first = Promise.withResolvers<void>();
  const running = queue.visit(who(), () => first.promise);
  const controller = new AbortController();
  const givenUp = queue.visit({ login: 'a', signal: controller.signal }, async () => 'never');
  const patient = queue.visit(who(), async () => 'mine');
  controller.abort();
  await assert.rejects(givenUp, { name: 'AbortError' });
  first.resolve();
  await running;
  assert.equal(await patient, 'mine');
  await assert.rejects(
    queue.visit({ login: 'a', signal: controller.signal }, async () => 'never'),
    {
      name: 'AbortError',
    },
  );
});

test('a refused login is remembered for its own BMC and login only', async () => {
  const clock = new FakeClock();
  const queues = new PowerQueues({ clock });
  const refuse = async (): Promise<void> => {
    throw new LoginRefused('no');
  };
  const first = queues.of('a').visit(who(), refuse);
  const waiting = queues.of('a').visit(who(), async () => undefined);
  const told = { reason: 'Unauthorized', message: /^no; not tried again before 2026-01-01T00:05:00/ };
  await Promise.all([assert.rejects(first, { message: 'no' }), assert.rejects(waiting, told)]);
  await clock.advance(10_000);
  const later = queues.of('a').visit(who(), async () => undefined);
  await assert.rejects(later, told);
  await queues.of('a').visit({ login: 'b', signal: never() }, async () => undefined);
  await queues.of('b').visit(who(), async () => undefined);
  const forbid = () => Promise.reject(new PowerError('Unauthorized', 'not this', { isPassing: false }));
  await assert.rejects(queues.of('b').visit(who(), forbid), { message: 'not this' });
  await queues.of('b').visit(who(), async () => undefined);
  await clock.advance(290_001);
  await queues.of('a').visit(who(), async () => undefined);
});

test('a clock that is set back holds nobody for longer than the longest back-off', async () => {
  const clock = new FakeClock();
  const queue = new PowerQueues({ clock }).of('a');
  await assert.rejects(
    queue.visit(who(), () => Promise.reject(dead())),
    { reason: 'Unavailable' },
  );
  clock.setTime(new Date(clock.now().getTime() - 86_400_000));
  const visit = queue.visit(who(), () => queue.call(never(), async () => 'well'));
  await clock.advance(31_000);
  assert.equal(await visit, 'well');
});
