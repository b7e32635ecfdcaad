import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { FairSeats, type Seat, type SeatRequest } from './fair-seats.ts';

const never = new AbortController().signal;
const small = { weight: 1, cost: 1, answerBytes: 0, isInstant: false };
const options = { seats: 2, answerBytes: 100, answerBytesPerFlow: 60, costPerTurn: 4 };

/** Takes a seat, waiting for it if need be; tells of the order in which seats were given. */
function asker(seats: FairSeats) {
  const order: string[] = [];
  const given: Seat[] = [];
  const ask = (flow: string, request: Partial<SeatRequest> = {}): void => {
    const wanted = { flow, ...small, ...request };
    const note = (seat: Seat) => {
      order.push(flow);
      given.push(seat);
    };
    const atOnce = seats.tryTake(wanted);
    if (atOnce) note(atOnce);
    else void seats.take(wanted, never).then((seat) => seat && note(seat));
  };
  return { ask, order, given };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('fair seats', () => {
  test('a newcomer waits for one seat, not for all that was asked for before', async () => {
    const seats = new FairSeats(options);
    const { ask, order, given } = asker(seats);
    for (let i = 0; i < 100; i += 1) ask('greedy');
    ask('polite');
    assert.deepEqual(order, ['greedy', 'greedy']);
    given[0]?.release();
    given[1]?.release();
    await settle();
    assert.ok(order.slice(2).includes('polite'), order.join(' '));
    assert.equal(seats.waiting, 97);
  });

  test('seats go by weight when all want them', async () => {
    const seats = new FairSeats({ ...options, seats: 1 });
    const { ask, order, given } = asker(seats);
    ask('first');
    for (let i = 0; i < 90; i += 1) {
      ask('light');
      ask('heavy', { weight: 4 });
    }
    for (let i = 0; i < 50; i += 1) {
      given[i]?.release();
      await settle();
    }
    const heavy = order.filter((flow) => flow === 'heavy').length;
    assert.ok(heavy >= 38 && heavy <= 42, `${heavy} of 50 are the heavy one's, with four times the weight`);
  });

  test('who asks for more work at once gets fewer turns', async () => {
    const seats = new FairSeats({ ...options, seats: 1 });
    const { ask, order, given } = asker(seats);
    ask('first');
    for (let i = 0; i < 60; i += 1) {
      ask('lists', { cost: 9 });
      ask('gets');
    }
    for (let i = 0; i < 40; i += 1) {
      given[i]?.release();
      await settle();
    }
    const lists = order.filter((flow) => flow === 'lists').length;
    assert.ok(lists >= 3 && lists <= 5, `${lists} lists in 40 turns`);
  });

  test('big answers wait for memory, small ones do not, and each flow may have one', async () => {
    const seats = new FairSeats({ ...options, seats: 10 });
    const { ask, order, given } = asker(seats);
    ask('a', { answerBytes: 50 });
    ask('a', { answerBytes: 50 });
    assert.deepEqual(order, ['a'], 'beyond the share of the flow');
    ask('b', { answerBytes: 500 });
    ask('c');
    await settle();
    assert.deepEqual(order, ['a', 'b', 'c']);
    given[0]?.release();
    await settle();
    assert.equal(order.length, 3, 'the answer is still on its way');
    given[0]?.holdAnswer(0);
    await settle();
    assert.deepEqual(order, ['a', 'b', 'c', 'a']);
  });

  test('instant requests take turns of the event loop, so that connections do not make shares', async () => {
    const seats = new FairSeats({ ...options, seats: 1000 });
    const { ask, order, given } = asker(seats);
    for (let i = 0; i < 50; i += 1) ask('greedy', { isInstant: true });
    ask('polite', { isInstant: true });
    assert.equal(order.length, 4);
    ask('writer');
    await Promise.resolve();
    assert.equal(order.at(-1), 'writer', 'does not wait for a turn');
    await settle();
    assert.ok(order.slice(0, 10).includes('polite'), order.join(' '));
    for (let i = 0; i < 15; i += 1) await settle();
    assert.equal(given.length, 52);
  });

  test('who goes away leaves the queue', async () => {
    const seats = new FairSeats({ ...options, seats: 1 });
    const { ask, order, given } = asker(seats);
    ask('a');
    const gone = new AbortController();
    const waiting = seats.take({ flow: 'b', ...small }, gone.signal);
    ask('c');
    gone.abort();
    assert.equal(await waiting, undefined);
    given[0]?.release();
    await settle();
    assert.deepEqual(order, ['a', 'c']);
    assert.equal(await seats.take({ flow: 'd', ...small }, AbortSignal.abort()), undefined);
  });

  test('whatever happens, no seat is lost, none is given twice, and nobody waits beside a free one', async () => {
    const step = fc.oneof(
      fc.record({
        type: fc.constant('ask' as const),
        flow: fc.constantFrom('a', 'b', 'c'),
        cost: fc.integer({ min: 1, max: 20 }),
        answerBytes: fc.constantFrom(0, 0, 30, 80),
      }),
      fc.record({ type: fc.constantFrom('release' as const, 'drop' as const), index: fc.nat(20) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const seats = new FairSeats(options);
        const { ask, order, given } = asker(seats);
        const held = new Set<Seat>();
        let known = 0;
        let asked = 0;
        for (const step of steps) {
          if (step.type === 'ask') {
            asked += 1;
            ask(step.flow, { cost: step.cost, answerBytes: step.answerBytes });
          } else {
            const seat = [...held][step.index % Math.max(1, held.size)];
            if (seat) held.delete(seat);
            if (step.type === 'release') seat?.release();
            seat?.holdAnswer(0);
            seat?.release();
          }
          await settle();
          for (; known < given.length; known += 1) held.add(given[known] as Seat);
          assert.equal(seats.taken, held.size);
          assert.ok(seats.taken <= options.seats);
          assert.equal(order.length + seats.waiting, asked);
          if (held.size === 0) assert.equal(seats.waiting, 0);
        }
      }),
      { numRuns: 200 },
    );
  });
});
