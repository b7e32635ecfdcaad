import { describe, test } from 'node:test';
import fc from 'fast-check';
import { eventKinds, RandomWorld } from './testing/random-world.ts';

const numRuns = 300;

const history = fc.record({
  strategy: fc.nat(6),
  count: fc.integer({ min: 1, max: 8 }),
  events: fc.array(fc.record({ do: fc.constantFrom(...eventKinds), site: fc.nat(11), n: fc.nat(999) }), {
    minLength: 30,
    maxLength: 150,
    size: 'max',
  }),
});

describe('whatever happens to reports, links, sites, people and the hub', () => {
  test('no wave passes early, no site is judged wrongly, given two releases or a condemned one; and all comes to rest', () => {
    fc.assert(
      fc.property(history, ({ strategy, count, events }) => {
        const world = new RandomWorld(strategy, count);
        for (const event of events) world.apply(event);
        world.comeToRest();
        world.checkRest();
      }),
      { numRuns },
    );
  });
});
