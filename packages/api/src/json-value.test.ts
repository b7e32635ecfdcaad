import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { copyJson } from './json-value.ts';

describe('copyJson', () => {
  test('is what encoding and parsing would give, and shares nothing', () => {
    const value = fc.oneof(fc.jsonValue(), fc.object({ withDate: true, withNullPrototype: false }));
    fc.assert(
      fc.property(value, (original) => {
        const text = JSON.stringify(original);
        const copy = copyJson(original);
        assert.equal(JSON.stringify(copy), text);
        assert.deepEqual(copy, text === undefined ? undefined : JSON.parse(text));
        assert.ok(typeof original !== 'object' || original === null || copy !== original);
      }),
    );
  });

  test('leaves out what has no place on the wire, and makes no prototype', () => {
    const original = { a: undefined, b: [undefined, NaN, () => 1], c: new Date(0), d: { toJSON: 'text' } };
    assert.deepEqual(copyJson<unknown>(original), {
      b: [null, null, null],
      c: '1970-01-01T00:00:00.000Z',
      d: { toJSON: 'text' },
    });
    const copy = copyJson<Record<string, unknown>>(JSON.parse('{"__proto__":{"polluted":1}}'));
    assert.equal(Object.getPrototypeOf(copy), Object.prototype);
    assert.equal(JSON.stringify(copy), '{"__proto__":{"polluted":1}}');
  });
});
