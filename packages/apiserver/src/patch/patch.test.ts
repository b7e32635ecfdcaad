import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { objectSchema } from '../schema/object-schema.ts';
import { gadgetDefinition } from '../testing/sample-definitions.ts';
import { applyJsonPatch } from './json-patch.ts';
import { mergePatch } from './merge-patch.ts';
import { strategicMergePatch } from './strategic-merge-patch.ts';

const schema = objectSchema(gadgetDefinition);

describe('merge patch', () => {
  test('does the examples of RFC 7396', () => {
    const examples: [unknown, unknown, unknown][] = [
      [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
      [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
      [{ a: 'b' }, { a: null }, {}],
      [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
      [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
      [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
      [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
      [
        ['a', 'b'],
        ['c', 'd'],
        ['c', 'd'],
      ],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [[1, 2], { a: 'b', c: null }, { a: 'b' }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [target, patch, result] of examples) assert.deepEqual(mergePatch(target, patch), result);
  });

  test('is idempotent', () => {
    fc.assert(
      fc.property(fc.object(), fc.object(), (target, patch) => {
        const once = mergePatch(target, patch);
        assert.deepEqual(mergePatch(once, patch), once);
      }),
    );
  });
});

describe('JSON patch', () => {
  test('changes a copy', () => {
    const target = { a: 1, list: [1, 2] };
    const patch = [
      { op: 'test', path: '/a', value: 1 },
      { op: 'replace', path: '/a', value: 2 },
      { op: 'add', path: '/list/-', value: 3 },
      { op: 'remove', path: '/list/0' },
    ];
    assert.deepEqual(applyJsonPatch(target, patch), { a: 2, list: [2, 3] });
    assert.deepEqual(target, { a: 1, list: [1, 2] });
  });

  test('says which operation does not fit, without its value', () => {
    const patch = [{ op: 'test', path: '/a', value: 'secret' }];
    assert.throws(
      () => applyJsonPatch({ a: 1 }, patch),
      (error: Error) => {
        assert.match(error.message, /operation 0 \{"op":"test","path":"\/a"\}/);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
    assert.throws(() => applyJsonPatch({}, [{ op: 'remove', path: '/none' }]), /operation 0/);
    assert.throws(() => applyJsonPatch({}, { op: 'add' }), /list of operations/);
  });

  test('cannot reach prototypes', () => {
    assert.throws(() => applyJsonPatch({}, [{ op: 'add', path: '/__proto__/polluted', value: 1 }]));
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });
});

describe('strategic merge patch', () => {
  const target = {
    spec: { size: 1, tags: ['a', 'b'], notes: ['n'], waves: [{ name: 'a', percent: 1 }, { name: 'b' }] },
  };
  const patched = (spec: unknown) =>
    (strategicMergePatch(target, { spec }, schema) as { spec: unknown }).spec;

  test('merges items by their key and values of sets, replaces other lists', () => {
    const spec = { tags: ['c'], notes: ['m'], waves: [{ name: 'b', percent: 2 }, { name: 'c' }] };
    assert.deepEqual(patched(spec), {
      size: 1,
      tags: ['a', 'b', 'c'],
      notes: ['m'],
      waves: [{ name: 'a', percent: 1 }, { name: 'b', percent: 2 }, { name: 'c' }],
    });
  });

  test('obeys the directives', () => {
    const waves = [{ name: 'a', $patch: 'delete' }];
    const directives = { '$deleteFromPrimitiveList/tags': ['a'], '$setElementOrder/tags': ['b'] };
    assert.deepEqual(patched({ waves, ...directives, notes: null }), {
      size: 1,
      tags: ['b'],
      waves: [{ name: 'b' }],
    });
    assert.deepEqual(patched({ $patch: 'replace', size: 2 }), { size: 2 });
    assert.deepEqual(patched({ waves: [{ name: 'z' }, { $patch: 'replace' }], $retainKeys: ['waves'] }), {
      waves: [{ name: 'z' }],
    });
    const order = { '$setElementOrder/waves': [{ name: 'c' }, { name: 'a' }], waves: [{ name: 'c' }] };
    assert.deepEqual(
      (patched(order) as { waves: { name: string }[] }).waves.map((w) => w.name),
      ['c', 'a', 'b'],
    );
  });
});
