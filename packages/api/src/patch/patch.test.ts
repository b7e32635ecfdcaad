import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isStatusError } from '../status-error.ts';
import { applyJsonPatch } from './json-patch.ts';
import { mergePatch } from './merge-patch.ts';
import type { MergeSchema } from './merge-schema.ts';
import { strategicMergePatch } from './strategic-merge-patch.ts';

const plain: MergeSchema = { properties: new Map(), listType: 'atomic', listMapKeys: [] };
const spec: MergeSchema = {
  ...plain,
  properties: new Map<string, MergeSchema>([
    ['tags', { ...plain, listType: 'set' }],
    ['notes', plain],
    ['waves', { ...plain, listType: 'map', listMapKeys: ['name'], items: plain }],
  ]),
};
const schema: MergeSchema = { ...plain, properties: new Map([['spec', spec]]) };

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
    for (const path of ['/__proto__/polluted', '/constructor/prototype/polluted', '/__proto__']) {
      for (const op of ['add', 'replace']) {
        assert.throws(() => applyJsonPatch({ a: {} }, [{ op, path, value: 1 }]), /leads nowhere/);
      }
    }
    assert.throws(
      () => applyJsonPatch({}, [{ op: 'move', from: '/toString', path: '/a' }]),
      /nothing at from/,
    );
    assert.deepEqual(applyJsonPatch({}, [{ op: 'copy', from: '/toString', path: '/a' }]), { a: null });
    assert.deepEqual(applyJsonPatch({}, [{ op: 'test', path: '/toString', value: null }]), {});
    assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  });

  test('does the examples of RFC 6902', () => {
    const examples: [unknown, unknown[], unknown][] = [
      [{ foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { foo: 'bar', baz: 'qux' }],
      [{ foo: [1, 3] }, [{ op: 'add', path: '/foo/1', value: 2 }], { foo: [1, 2, 3] }],
      [{ foo: [1, 2] }, [{ op: 'remove', path: '/foo/0' }], { foo: [2] }],
      [{ foo: 1 }, [{ op: 'replace', path: '/foo', value: 2 }], { foo: 2 }],
      [{ a: { x: 1 }, b: {} }, [{ op: 'move', from: '/a/x', path: '/b/y' }], { a: {}, b: { y: 1 } }],
      [{ foo: [1, 2, 3] }, [{ op: 'move', from: '/foo/0', path: '/foo/2' }], { foo: [2, 3, 1] }],
      [{ a: { x: 1 } }, [{ op: 'copy', from: '/a', path: '/b' }], { a: { x: 1 }, b: { x: 1 } }],
      [{ '/': 9, '~1': 10 }, [{ op: 'test', path: '/~01', value: 10 }], { '/': 9, '~1': 10 }],
      [{ a: ['b'] }, [{ op: 'add', path: '/a/-', value: ['c'] }], { a: ['b', ['c']] }],
      [{ a: null }, [{ op: 'test', path: '/a', value: null }], { a: null }],
      [{ a: 1 }, [{ op: 'replace', path: '', value: [] }], []],
      [{ a: 1, '': 2 }, [{ op: 'remove', path: '/' }], { a: 1 }],
    ];
    for (const [target, patch, result] of examples) assert.deepEqual(applyJsonPatch(target, patch), result);
  });

  test('refuses what is no operation and what does not fit, and names the very one', () => {
    const faults: [unknown, RegExp][] = [
      [null, /must be an object/],
      [{ op: 'nuke', path: '/a' }, /op must be/],
      [{ op: 'add', path: 'a', value: 1 }, /JSON pointer/],
      [{ op: 'add', path: '/~2', value: 1 }, /JSON pointer/],
      [{ op: 'add', path: '/none/b', value: 1 }, /leads nowhere/],
      [{ op: 'add', path: '/a/3', value: 1 }, /leads nowhere/],
      [{ op: 'add', path: '/a/01', value: 1 }, /leads nowhere/],
      [{ op: 'remove', path: '/a/1' }, /nothing at path/],
      [{ op: 'replace', path: '/a/1', value: 1 }, /nothing at path/],
      [{ op: 'remove', path: '/a/-2' }, /leads nowhere/],
      [{ op: 'test', path: '/a', value: [2] }, /another/],
      [{ op: 'move', from: '/none', path: '/b' }, /nothing at from/],
      [{ op: 'move', from: '/a', path: '/a/0' }, /into itself/],
    ];
    for (const [operation, fault] of faults) {
      const patch = [{ op: 'test', path: '/a/0', value: 1 }, operation];
      assert.throws(
        () => applyJsonPatch({ a: [1] }, patch),
        (error: Error) => fault.test(error.message) && error.message.includes('operation 1 '),
        JSON.stringify(operation),
      );
    }
  });

  test('is as lenient as Kubernetes', () => {
    const examples: [unknown[], unknown][] = [
      [[{ op: 'add', path: '/b' }], { a: [1, 2], b: null }],
      [[{ op: 'replace', path: '/b', value: 3 }], { a: [1, 2], b: 3 }],
      [[{ op: 'test', path: '/b', value: null }], { a: [1, 2] }],
      [[{ op: 'copy', from: '/b', path: '/c' }], { a: [1, 2], c: null }],
      [[{ op: 'remove', path: '/a/-1' }], { a: [1] }],
      [[{ op: 'test', path: '', value: { a: [1, 2] } }], { a: [1, 2] }],
    ];
    for (const [patch, result] of examples) assert.deepEqual(applyJsonPatch({ a: [1, 2] }, patch), result);
  });

  test('does not let copies of copies grow without end, nor depth', () => {
    const doubling = Array.from({ length: 60 }, () => ({ op: 'copy', from: '/x', path: '/x/-' }));
    assert.throws(() => applyJsonPatch({ x: ['some text'] }, doubling), /at most 3145728 bytes/);
    const deepening = Array.from({ length: 60 }, (_, i) => ({
      op: 'add',
      path: '/0'.repeat(i * 9),
      value: [[[[[[[[[[]]]]]]]]]],
    }));
    assert.throws(() => applyJsonPatch([], deepening), /levels deep/);
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
      // What the patch names comes first, unless the server knows the order of both.
      tags: ['c', 'a', 'b'],
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

  test('refuses what makes no sense', () => {
    const patches: [unknown, RegExp][] = [
      [{ $patch: 'merge' }, /unknown patch type/],
      [{ waves: [{ name: 'a', $patch: 'merge' }] }, /unknown patch type/],
      [{ waves: [{ percent: 1 }] }, /merge key: name/],
      [{ waves: [{ $patch: 'delete' }] }, /merge key: name/],
      [{ waves: ['a'] }, /types are not identical/],
      [{ tags: [['a']] }, /types are not identical/],
      [{ $retainKeys: 'size' }, /retainKeys/],
      [{ $retainKeys: ['tags'], size: 2 }, /retainKeys/],
      [{ '$setElementOrder/tags': 'a' }, /setElementOrder/],
      [{ '$setElementOrder/tags': ['a', 'c'], tags: ['c', 'a'] }, /setElementOrder/],
      [{ '$setElementOrder/size': ['a'] }, /size is no list/],
      [{ '$deleteFromPrimitiveList/tags': 'a' }, /primitive list/],
    ];
    for (const [patch, fault] of patches) {
      assert.throws(
        () => patched(patch),
        (error) => isStatusError(error, 'BadRequest') && fault.test(error.message),
      );
    }
  });

  test('leaves its arguments as they were', () => {
    fc.assert(
      fc.property(fc.object(), (patch) => {
        const before = JSON.stringify([target, patch]);
        try {
          patched(patch);
        } catch {
          // What makes no sense is refused.
        }
        assert.equal(JSON.stringify([target, patch]), before);
      }),
    );
  });
});
