import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  difference,
  emptySet,
  type FieldSet,
  inOrder,
  intersection,
  isEqual,
  leaf,
  members,
  readFieldsV1,
  union,
} from './field-set.ts';
import { canonicalElement, describePath, keyElement, valueElement } from './path-element.ts';

const element = fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'v:"y"');
const path = fc.array(element, { minLength: 1, maxLength: 4 });
const fieldSet = fc.array(path, { maxLength: 8 }).map((paths) => paths.map(setOf).reduce(union, emptySet));
const text = (set: FieldSet) => [...members(set)].map((p) => p.join('/')).sort();

function setOf([first, ...rest]: readonly string[]): FieldSet {
  return first === undefined ? leaf : { [first]: setOf(rest) };
}

describe('field sets', () => {
  test('are sets of paths', () => {
    fc.assert(
      fc.property(fieldSet, fieldSet, (a, b) => {
        const [inA, inB] = [text(a), text(b)];
        assert.deepEqual(text(union(a, b)), [...new Set([...inA, ...inB])].sort());
        assert.deepEqual(
          text(difference(a, b)),
          inA.filter((p) => !inB.includes(p)),
        );
        assert.deepEqual(
          text(intersection(a, b)),
          inA.filter((p) => inB.includes(p)),
        );
      }),
    );
  });

  test('survive being written and read', () => {
    fc.assert(fc.property(fieldSet, (a) => isEqual(readFieldsV1(JSON.parse(JSON.stringify(inOrder(a)))), a)));
  });
});

describe('FieldsV1', () => {
  test('is written in the order and spelling of Kubernetes', () => {
    const set = setOfPaths([
      ['f:spec', 'f:b'],
      [
        'f:spec',
        'f:ports',
        keyElement([
          ['port', 80],
          ['protocol', 'TCP'],
        ]),
        'f:name',
      ],
      [
        'f:spec',
        'f:ports',
        keyElement([
          ['port', 80],
          ['protocol', 'TCP'],
        ]),
      ],
      ['f:spec', 'f:a', valueElement('<é&"\b>')],
      ['f:spec'],
    ]);
    assert.equal(
      JSON.stringify(inOrder(set)),
      String.raw`{"f:spec":{".":{},"f:a":{"v:\"\\u003cé\\u0026\\\"\\u0008\\u003e\"":{}},"f:b":{},"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{}}}}}`,
    );
  });

  test('is read in any order and spelling; what is not known yet is left out', () => {
    const set = readFieldsV1({
      '.': {},
      'f:list': { 'k:{ "b": 1.0, "a": "<" }': { '.': {} }, 'v:"\\u003c"': {}, 'i:007': {}, 'x:new': {} },
      'f:only-new': { 'x:new': {} },
    });
    const keys = keyElement([
      ['a', '<'],
      ['b', 1],
    ]);
    assert.deepEqual(set, { 'f:list': { [keys]: {}, [valueElement('<')]: {}, 'i:7': {} }, 'f:only-new': {} });
    for (const wrong of ['f', 'fx', 'k:[]', 'k:{', 'v:', 'i:x', '']) {
      assert.throws(() => readFieldsV1({ [wrong]: {} }), JSON.stringify(wrong));
    }
    assert.throws(() => readFieldsV1([]));
    assert.equal(canonicalElement('z:1'), undefined);
  });

  test('a path reads as in a message of Kubernetes', () => {
    const path = [
      'f:spec',
      'f:ports',
      keyElement([
        ['port', 80],
        ['protocol', 'T"\n\u00e9\u200b'],
      ]),
      valueElement(true),
    ];
    assert.equal(
      describePath(path),
      String.raw`.spec.ports[port=80,protocol="T\"\n` + 'é' + String.raw`\u200b"][=true]`,
    );
    assert.equal(describePath(['f:a', 'i:3']), '.a[3]');
  });
});

function setOfPaths(paths: readonly (readonly string[])[]): FieldSet {
  return paths.map(setOf).reduce(union, emptySet);
}
