import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Named, SortedObjects } from './sorted-objects.ts';

interface Thing extends Named {
  readonly value: number;
}

const place = fc.record({
  namespace: fc.constantFrom('', 'a', 'a-b', 'b'),
  name: fc.stringMatching(/^[a-d]{1,4}$/),
});
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('set' as const), place }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), place }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('snapshot' as const), place }) },
);

const keyOf = ({ namespace, name }: Named) => `${namespace}\0${name}`;
const inOrder = (model: ReadonlyMap<string, Thing>): Thing[] =>
  [...model.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, thing]) => thing);

describe('SortedObjects', () => {
  test('agrees with a sorted map, and snapshots stay what they were', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const objects = new SortedObjects<Thing>();
        const model = new Map<string, Thing>();
        const taken: { was: Thing[]; is: () => Thing[] }[] = [];
        for (const [value, { kind, place: at }] of steps.entries()) {
          if (kind === 'set') {
            objects.set({ ...at, value });
            model.set(keyOf(at), { ...at, value });
          } else if (kind === 'delete') {
            objects.delete(at);
            model.delete(keyOf(at));
          } else {
            const snapshot = objects.snapshot();
            taken.push({ was: inOrder(model), is: () => [...snapshot.range({})] });
          }
          assert.deepEqual(objects.find(at), model.get(keyOf(at)));
        }
        assert.equal(objects.size, model.size);
        assert.deepEqual([...objects.snapshot().range({})], inOrder(model));
        for (const { was, is } of taken) assert.deepEqual(is(), was);
      }),
      { numRuns: 60 },
    );
  });

  test('gives and counts what is in a namespace, behind a place that may be gone', () => {
    fc.assert(
      fc.property(
        fc.array(place, { maxLength: 500 }),
        fc.option(fc.constantFrom('', 'a', 'a-b', 'b', 'c'), { nil: undefined }),
        fc.option(place, { nil: undefined }),
        (places, namespace, after) => {
          const objects = new SortedObjects<Named>();
          for (const at of places) objects.set(at);
          const from = after && { ...after, namespace: namespace ?? after.namespace };
          const expected = [...objects.snapshot().range({})]
            .filter((at) => namespace === undefined || at.namespace === namespace)
            .filter((at) => from === undefined || keyOf(at) > keyOf(from));
          const range = { namespace, after: from };
          const snapshot = objects.snapshot();
          assert.deepEqual([...snapshot.range(range)], expected);
          assert.equal(snapshot.count(range), expected.length);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('holds a hundred thousand, made in order and out of it', () => {
    const objects = new SortedObjects<Named>();
    for (let i = 0; i < 100_000; i++) {
      objects.set({ namespace: 'n', name: String(i % 2 === 0 ? i : 200_000 - i).padStart(7, '0') });
    }
    const names = [...objects.snapshot().range({})].map(({ name }) => name);
    assert.equal(names.length, 100_000);
    assert.deepEqual(names, names.toSorted());
  });
});
