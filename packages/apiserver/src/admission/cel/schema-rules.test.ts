import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubeObject } from '@selvedge/api';
import type { JsonSchema } from '../../resource-definition.ts';
import { readSchema } from '../../schema/structural-schema.ts';
import type { ValidationRule } from '../../schema/validation-rule.ts';
import { compileSchemaRules } from './schema-rules.ts';

const text = { type: 'string', maxLength: 100 };

/** A kind whose spec has these rules. */
function specWith(properties: Record<string, JsonSchema>, ...rules: ValidationRule[]): JsonSchema {
  const spec = { type: 'object', properties, 'x-kubernetes-validations': rules };
  return { type: 'object', properties: { metadata: { type: 'object' }, spec } };
}

function compile(schema: JsonSchema, { isSensitive = false } = {}) {
  const rules = compileSchemaRules(readSchema(schema), { kind: 'Gadget', isSensitive });
  assert.ok(rules);
  return (spec: unknown, old?: unknown): string[] => {
    const object = (s: unknown): KubeObject => ({
      apiVersion: 'v1',
      kind: 'Gadget',
      metadata: { name: 'a' },
      spec: s,
    });
    const previous = old === undefined ? undefined : object(old);
    return rules.check(object(spec), previous).map((e) => `${e.field}: ${e.message}`);
  };
}

describe('validation rules', () => {
  test('refuse what they are false for, with their message', () => {
    const check = compile(
      specWith(
        { sites: { type: 'integer' }, percent: { type: 'integer' } },
        { rule: 'has(self.sites) != has(self.percent)', message: 'give either sites or percent' },
      ),
    );
    assert.deepEqual(check({ sites: 1 }), []);
    assert.deepEqual(check({}), ['spec: Invalid value: "object": give either sites or percent']);
    assert.deepEqual(check({ sites: 1, percent: 2 }).length, 1);
  });

  test('name the field, the reason, and a message made from the value', () => {
    const check = compile(
      specWith(
        { min: { type: 'integer' }, max: { type: 'integer' } },
        {
          rule: 'self.min <= self.max',
          messageExpression: '"min must be at most " + string(self.max)',
          message: 'not given',
          reason: 'FieldValueForbidden',
          fieldPath: '.min',
        },
      ),
    );
    assert.deepEqual(check({ min: 3, max: 2 }), ['spec.min: Forbidden: min must be at most 2']);
  });

  test('say the rule when they have no message, also when the message cannot be made', () => {
    const bare = compile(specWith({ a: { type: 'integer' } }, { rule: 'self.a > 1' }));
    assert.deepEqual(bare({ a: 1 }), ['spec: Invalid value: "object": failed rule: self.a > 1']);
    const broken = compile(
      specWith(
        { a: { type: 'integer' }, b: text },
        { rule: 'self.a > 1', message: 'too small', messageExpression: 'self.b' },
      ),
    );
    assert.deepEqual(broken({ a: 1 }), ['spec: Invalid value: "object": too small']);
  });

  test('that fail to evaluate refuse, and say why', () => {
    const check = compile(specWith({ a: { type: 'integer' } }, { rule: 'self.a > 1', message: 'give a' }));
    assert.deepEqual(check({}), ['spec: Invalid value: "object": give a (No such key: a)']);
  });

  test('see integers as integers, numbers as numbers, times as times, and maps by any key', () => {
    const check = compile(
      specWith(
        {
          count: { type: 'integer' },
          share: { type: 'number' },
          either: { 'x-kubernetes-int-or-string': true },
          since: { type: 'string', format: 'date-time' },
          labels: { type: 'object', additionalProperties: text, maxProperties: 10 },
        },
        { rule: 'self.count + 1 == 4 && self.share * 2.0 == 3.0 && self.either == 7' },
        { rule: 'self.since > timestamp("2020-01-01T00:00:00Z")' },
        { rule: 'self.labels.all(key, key == "constructor" || key == "__proto__")' },
        { rule: 'self.labels["constructor"] == "x"' },
      ),
    );
    const labels = JSON.parse('{"constructor": "x", "__proto__": "y"}') as unknown;
    assert.deepEqual(check({ count: 3, share: 1.5, either: 7, since: '2026-01-01T00:00:00Z', labels }), []);
  });

  test('reach fields whose names are words of CEL or no identifiers', () => {
    const check = compile(
      specWith(
        { namespace: text, 'a-b': text, x__y: text },
        { rule: 'self.__namespace__ == "n" && self.a__dash__b == "d" && self.x__underscores__y == "u"' },
      ),
    );
    assert.deepEqual(check({ namespace: 'n', 'a-b': 'd', x__y: 'u' }), []);
  });

  test('compare with the old value on updates only, unless they take it as an optional', () => {
    const schema = specWith({ a: text }, { rule: 'self.a == oldSelf.a', message: 'cannot be changed' });
    const check = compile(schema);
    assert.deepEqual(check({ a: 'x' }), []);
    assert.deepEqual(check({ a: 'x' }, { a: 'x' }), []);
    assert.deepEqual(check({ a: 'y' }, { a: 'x' }), ['spec: Invalid value: "object": cannot be changed']);
    const always = compile(
      specWith({ a: text }, { rule: 'oldSelf.hasValue() || self.a == "first"', optionalOldSelf: true }),
    );
    assert.deepEqual(always({ a: 'first' }), []);
    assert.equal(always({ a: 'other' }).length, 1);
    assert.deepEqual(always({ a: 'other' }, { a: 'first' }), []);
  });

  test('follow items of a list by their keys, also when these move', () => {
    const items = {
      type: 'object',
      properties: { name: text, size: { type: 'integer' } },
      'x-kubernetes-validations': [{ rule: 'self.size >= oldSelf.size', message: 'cannot shrink' }],
    };
    const list = {
      type: 'array',
      maxItems: 10,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items,
    };
    const check = compile(specWith({ disks: list }));
    const old = {
      disks: [
        { name: 'a', size: 5 },
        { name: 'b', size: 9 },
      ],
    };
    assert.deepEqual(
      check(
        {
          disks: [
            { name: 'b', size: 9 },
            { name: 'new', size: 1 },
            { name: 'a', size: 4 },
          ],
        },
        old,
      ),
      ['spec.disks[2]: Invalid value: "object": cannot shrink'],
    );
  });

  test('are not asked again for what an update leaves as it was', () => {
    const check = compile(
      specWith({
        a: { type: 'integer' },
        b: {
          type: 'object',
          properties: { c: { type: 'integer' } },
          'x-kubernetes-validations': [{ rule: 'self.c > 1' }],
        },
      }),
    );
    assert.deepEqual(check({ a: 2, b: { c: 0 } }, { a: 1, b: { c: 0 } }), []);
    assert.equal(check({ a: 2, b: { c: 0 } }, { a: 1, b: { c: 1 } }).length, 1);
  });

  test('match patterns in linear time', () => {
    const check = compile(
      specWith(
        { a: { type: 'string', maxLength: 5000 } },
        { rule: "self.a.matches('^(a+)+$')", message: 'only a' },
      ),
    );
    assert.deepEqual(check({ a: 'aaa' }), []);
    assert.deepEqual(check({ a: `${'a'.repeat(4999)}!` }), ['spec: Invalid value: "object": only a']);
  });

  test('that cannot be used are found when they are compiled, by name', () => {
    const list = { type: 'array', items: text };
    const short = { ...list, maxItems: 5 };
    const wrong: [string, RegExp][] = [
      ['self.nope == 1', /Gadget\.spec cannot be used: self\.nope == 1: No such key: nope/],
      ['self.a', /it is a string, not a bool/],
      ['self.a == 1', /no such overload/],
      ['self.a ==', /cannot be used/],
      ['self.a.matches(self.b)', /literal pattern/],
      ["self.a.matches('(?=a)')", /the pattern/],
      ["'x'.nope()", /cannot be used/],
      ['self.free.all(x, x == "a")', /maxItems/],
      ['self.free.exists(x, x in self.free)', /steps/],
      [nested(9), /steps/],
    ];
    for (const [rule, message] of wrong) {
      assert.throws(
        () => compile(specWith({ a: text, b: text, free: list, short }, { rule })),
        message,
        rule,
      );
    }
    assert.doesNotThrow(() => compile(specWith({ short }, { rule: nested(3) })));
  });

  test('of an unlimited list of objects, or of items that have no identity, are refused', () => {
    const items = (rule: string) => ({
      type: 'object',
      properties: { a: text },
      'x-kubernetes-validations': [{ rule }],
    });
    assert.throws(
      () => compile(specWith({ l: { type: 'array', items: items('self.a == "x"') } })),
      /maxItems/,
    );
    assert.throws(
      () => compile(specWith({ l: { type: 'array', maxItems: 3, items: items('self.a == oldSelf.a') } })),
      /no oldSelf/,
    );
  });

  test('of a sensitive kind cannot quote', () => {
    const schema = specWith({ a: text }, { rule: 'self.a == "x"', messageExpression: 'self.a' });
    assert.throws(() => compile(schema, { isSensitive: true }), /sensitive/);
  });

  test('have known fields and reasons', () => {
    const odd = { rule: 'true', surprise: 1 } as ValidationRule;
    assert.throws(() => compile(specWith({ a: text }, odd)), /no field surprise/);
    const reason = { rule: 'true', reason: 'Why' } as unknown as ValidationRule;
    assert.throws(() => compile(specWith({ a: text }, reason)), /the reason Why/);
  });
});

/** Loops in loops over a list of five. */
function nested(depth: number): string {
  return depth === 0 ? 'true' : `self.short.all(x${depth}, ${nested(depth - 1)})`;
}
