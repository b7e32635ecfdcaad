import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeRows } from './testing/invariants.ts';
import { eventKinds, RandomWorld, strategies, type WorldEvent } from './testing/random-world.ts';
import { seededNumbers } from './testing/seeded-numbers.ts';

/** More, or one that failed: `SELVEDGE_ENGINE_SCHEDULES=50000`, `SELVEDGE_ENGINE_SEED=17`. */
const schedules = Number(process.env['SELVEDGE_ENGINE_SCHEDULES'] ?? 1000);
const firstSeed = Number(process.env['SELVEDGE_ENGINE_SEED'] ?? 1);

/**
 * Every schedule: a fleet, a strategy, and some hundred things that go wrong or right, in an order made from the seed. What
 * must hold is checked at every step of the engine, and once more when everything has come to rest.
 */
test(`${schedules} random fault schedules, with the invariants checked after each step`, () => {
  for (let count = 0; count < schedules; count++) runSchedule(firstSeed + count);
});

function runSchedule(seed: number): void {
  const next = seededNumbers(seed);
  const world = new RandomWorld(next(strategies.length), 1 + next(8));
  let last: WorldEvent | undefined;
  try {
    for (let count = 30 + next(120); count > 0; count--) {
      last = { do: eventKinds[next(eventKinds.length)] ?? 'step', site: next(12), n: next(1000) };
      world.apply(last);
    }
    last = undefined;
    world.comeToRest();
    world.checkRest();
  } catch (error) {
    const place = last === undefined ? 'when coming to rest' : `at ${JSON.stringify(last)}`;
    const rows = describeRows(world.fleet).join('\n');
    assert.fail(`seed ${seed}, ${place}: ${error instanceof Error ? error.message : String(error)}\n${rows}`);
  }
}
