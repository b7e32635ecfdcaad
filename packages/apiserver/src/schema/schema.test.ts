import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { objectSchema } from './object-schema.ts';
import { prune } from './prune.ts';
import { setDefaults } from './set-defaults.ts';
import { readSchema } from './structural-schema.ts';
import { gadgetDefinition, secretDefinition } from '../testing/sample-definitions.ts';
import { validate } from './validate.ts';

const schema = objectSchema(gadgetDefinition);
const gadget = (spec: unknown, metadata: unknown = { name: 'a' }) => ({ metadata, spec });
const faults = (value: unknown) => validate(value, schema).map((e) => `${e.field}: ${e.message}`);

describe('validate', () => {
  test('accepts what fits', () => {
    const spec = {
      size: 1,
      budget: '2%',
      variables: { a: 1, b: 'x', c: true },
      waves: [{ name: 'a', percent: 5 }],
    };
    assert.deepEqual(faults(gadget(spec)), []);
  });

  test('names the field of every fault as Kubernetes does', () => {
    const spec = {
      size: 'x',
      waves: [{ name: 'a' }, { name: 'b', percent: 'x' }, { name: 'b' }],
      variables: { v: [] },
    };
    assert.deepEqual(faults(gadget(spec)), [
      'spec.size: Invalid value: "x": must be an integer',
      'spec.waves[1].percent: Invalid value: "x": must be an integer',
      'spec.waves[2]: Duplicate value: {"name":"b"}',
      'spec.variables[v]: Invalid value: []: must be a string or a number or true or false',
    ]);
  });

  test('tells what is missing, out of range or not one of the values', () => {
    assert.deepEqual(faults(gadget({ color: 'blue' })), [
      'spec.size: Required value: must be set',
      'spec.color: Unsupported value: "blue": supported values: "red", "green"',
    ]);
    assert.deepEqual(faults(gadget({ size: 101, tags: ['a', 'a'] })), [
      'spec.size: Invalid value: 101: must be at most 100',
      'spec.tags[1]: Duplicate value: "a"',
    ]);
    assert.deepEqual(faults({ metadata: { name: 'a', labels: { a: 1 } }, spec: { size: 1.5 } }), [
      'metadata.labels[a]: Invalid value: 1: must be a string',
      'spec.size: Invalid value: 1.5: must be an integer',
    ]);
  });

  test('of a sensitive kind, quotes no value that may be a secret', () => {
    const messages = (value: unknown) => validate(value, schema, { isSensitive: true }).map((e) => e.message);
    const spec = { size: 'wrong', manifests: ['hunter2'], color: { deep: 'hunter2' }, notes: 'plain' };
    assert.deepEqual(messages(gadget(spec)), [
      'Invalid value: "wrong": must be an integer',
      'Invalid value: "(hidden)": must be an object',
      'Invalid value: "(hidden)": must be a string',
      'Invalid value: "plain": must be a list',
    ]);
    const secret = objectSchema(secretDefinition);
    for (const data of [{ a: 'hunter2!' }, 'hunter2']) {
      const [error] = validate({ metadata: { name: 'a' }, data }, secret, { isSensitive: true });
      assert.match(error?.message ?? '', /\(hidden\)/);
    }
  });

  test('stops after a number of faults', () => {
    const variables = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`v${i}`, null]));
    assert.ok(validate(gadget({ size: 1, variables }), schema).length <= 30);
  });

  test('knows the formats', () => {
    const bytes = readSchema({ type: 'string', format: 'byte' });
    const time = readSchema({ type: 'string', format: 'date-time' });
    assert.deepEqual(validate('YQ==', bytes), []);
    assert.equal(validate('not base64', bytes).length, 1);
    assert.deepEqual(validate('2026-01-01T00:00:00Z', time), []);
    assert.equal(validate('2026-13-01T00:00:00Z', time).length, 1);
    assert.equal(validate('yesterday', time).length, 1);
  });
});

describe('prune', () => {
  test('drops unknown fields and says which, but nothing inside a free-form object', () => {
    const value = {
      ...gadget({
        size: 1,
        odd: 1,
        waves: [{ name: 'a', odd: 2 }],
        manifests: [{ kind: 'X', deep: { odd: null } }],
      }),
      odd: 3,
    };
    assert.deepEqual(prune(value, schema), ['spec.odd', 'spec.waves[0].odd', 'odd']);
    assert.deepEqual(value, {
      ...gadget({ size: 1, waves: [{ name: 'a' }], manifests: [{ kind: 'X', deep: { odd: null } }] }),
    });
  });

  test('takes null for absent', () => {
    const value = gadget({ size: 1, color: null }, { name: 'a', creationTimestamp: null });
    assert.deepEqual(prune(value, schema), []);
    assert.deepEqual(value, gadget({ size: 1 }));
  });
});

describe('setDefaults', () => {
  test('fills what is absent, also in items, and makes no parents', () => {
    const value = gadget({ size: 1, waves: [{ name: 'a' }, { name: 'b', soak: '5m' }] });
    setDefaults(value, schema);
    const waves = [
      { name: 'a', soak: '0s' },
      { name: 'b', soak: '5m' },
    ];
    assert.deepEqual(value.spec, { size: 1, color: 'red', waves });
    const empty = {};
    setDefaults(empty, schema);
    assert.deepEqual(empty, {});
  });
});

describe('readSchema', () => {
  test('refuses what has no structural form', () => {
    assert.throws(() => readSchema({ allOf: [] }), /allOf is not supported/);
    assert.throws(
      () => readSchema({ anyOf: [{ type: 'object' }, { type: 'string' }] }),
      /anyOf may only hold/,
    );
  });
});
