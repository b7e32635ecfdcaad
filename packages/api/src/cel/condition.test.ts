import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { compileCondition } from './condition.ts';

const object = {
  metadata: { namespace: 'shop', generation: 2, labels: { 'a/b': 'c' } },
  status: {
    phase: 'Bound',
    observedGeneration: 2,
    conditions: [
      { type: 'Ready', status: 'True' },
      { type: 'Synced', status: 'False', message: 'not yet' },
    ],
  },
};

describe('a condition without a schema', () => {
  for (const [text, answer] of [
    ["self.status.phase == 'Bound'", true],
    ["self.metadata.namespace == 'shop'", true],
    ["self.metadata.labels['a/b'] == 'c'", true],
    ['has(self.status.foo)', false],
    ['has(self.status) && self.status.observedGeneration == self.metadata.generation', true],
    ["self.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')", true],
    ["self.status.conditions.exists(c, has(c.message) && c.message == 'no')", false],
    ["'Ready' in self.status.conditions.map(c, c.type)", true],
    ["self.?status.?bar.orValue('none') == 'none'", true],
    ["self.status.phase.matches('^(Bound|Ready)$')", true],
    ['self.status.observedGeneration + 1 == 3', true],
  ] as const) {
    test(`answers ${text}`, () => assert.equal(compileCondition(text).evaluate(object), answer));
  }

  for (const [text, why] of [
    ['self.status.', /./],
    ['1 + 1', /it is a int, not a bool/],
    ['foo == 1', /Unknown variable: foo/],
    ['oldSelf == self', /Unknown variable: oldSelf/],
    ['self.a.matches(self.b)', /literal pattern/],
    ["self.a.matches('(')", /./],
  ] as const) {
    test(`cannot be made of ${text}`, () => {
      assert.throws(
        () => compileCondition(text),
        (error: Error) => why.test(error.message) && !error.message.includes('\n'),
      );
    });
  }

  test('says in one line what is not there', () => {
    assert.throws(
      () => compileCondition("self.spec.x == 'a'").evaluate(object),
      /^Error: No such key: spec$/,
    );
    assert.throws(() => compileCondition('self.status').evaluate(object), /neither true nor false/);
    assert.throws(() => compileCondition('self.status.phase > 1').evaluate(object), /no such overload|>/i);
  });

  test('looks through a large object, but not as often as it likes', () => {
    const items = Array.from({ length: 5000 }, (_, i) => ({ name: `n${i}`, ready: true }));
    assert.equal(compileCondition('self.items.all(i, i.ready)').evaluate({ items }), true);
    const square = compileCondition('self.items.all(a, self.items.exists(b, a.name == b.name))');
    assert.throws(() => square.evaluate({ items }), /steps on this object/);
    assert.equal(square.evaluate({ items: items.slice(0, 100) }), true);
  });

  test('never hangs or throws anything but an Error, whatever the object', () => {
    const conditions = [
      'self.a.b == 1',
      'self.a.exists(x, x.b > 2)',
      "has(self.a) && self.a.map(x, x + 'y').size() > 0",
      "self['__proto__'] == 'x' || self.constructor == 'x'",
    ].map(compileCondition);
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...conditions), (value, condition) => {
        try {
          assert.equal(typeof condition.evaluate({ a: value }), 'boolean');
        } catch (error) {
          assert.ok(error instanceof Error && !error.message.includes('\n'));
        }
      }),
      { numRuns: 200 },
    );
  });
});
