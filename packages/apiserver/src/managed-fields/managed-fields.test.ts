import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isConflict, type KubeObject, StatusError } from '@selvedge/api';
import fc from 'fast-check';
import { copyJson } from '../schema/json-value.ts';
import { objectSchema } from '../schema/object-schema.ts';
import { gadgetDefinition } from '../testing/sample-definitions.ts';
import { applyConfiguration } from './apply.ts';
import {
  difference,
  emptySet,
  type FieldSet,
  fromFieldsV1,
  intersection,
  isEqual,
  members,
  toFieldsV1,
  union,
} from './field-set.ts';
import { readManagers } from './managers.ts';
import { trackUpdate } from './track-update.ts';

const schema = objectSchema(gadgetDefinition);
const apiVersion = 'example.dev/v1alpha1';
const now = '2026-01-01T00:00:00Z';

const gadget = (spec: unknown, metadata: object = {}): KubeObject => ({
  apiVersion,
  kind: 'Gadget',
  metadata: { name: 'a', ...metadata },
  ...(spec === undefined ? {} : { spec }),
});
const nothing = gadget(undefined);

const apply = (live: KubeObject, spec: unknown, { manager = 'one', force = false } = {}): KubeObject =>
  applyConfiguration({
    live,
    applied: gadget(spec),
    schema,
    manager: { manager, operation: 'Apply', apiVersion },
    force,
    now,
  });

const update = (live: KubeObject, spec: unknown, manager = 'editor'): KubeObject => {
  const after = gadget(spec, live.metadata);
  const identity = { manager, operation: 'Update' as const, apiVersion };
  const managedFields = trackUpdate({ before: live, after, schema, manager: identity, now });
  return { ...after, metadata: { ...after.metadata, managedFields } };
};

const fieldsOf = (object: KubeObject, manager: string): string[] => {
  const record = readManagers(object)?.find((r) => r.identity.manager === manager);
  return [...members(record?.set ?? emptySet())].map((path) => path.join('/'));
};

describe('server-side apply', () => {
  test('owns exactly what was applied', () => {
    const live = apply(nothing, { size: 1, waves: [{ name: 'a', percent: 5 }], tags: ['x'], notes: ['n'] });
    assert.deepEqual(fieldsOf(live, 'one'), [
      'f:spec/f:notes',
      'f:spec/f:size',
      'f:spec/f:tags/v:"x"',
      'f:spec/f:waves/k:{"name":"a"}',
      'f:spec/f:waves/k:{"name":"a"}/f:name',
      'f:spec/f:waves/k:{"name":"a"}/f:percent',
    ]);
  });

  test('applying the same again changes nothing', () => {
    const spec = { size: 1, waves: [{ name: 'a', percent: 5 }], variables: { v: 1 } };
    const once = apply(apply(nothing, { size: 1 }, { manager: 'two' }), spec);
    assert.deepEqual(apply(once, spec), once);
  });

  test('leaves alone what others own', () => {
    const live = apply(apply(nothing, { size: 1 }), { color: 'green', tags: ['b'] }, { manager: 'two' });
    const result = apply(live, { size: 2, tags: ['a'] });
    assert.deepEqual(result['spec'], { size: 2, color: 'green', tags: ['b', 'a'] });
  });

  test('removes what the manager no longer applies, unless another owns it', () => {
    const shared = apply(
      apply(nothing, { size: 1, color: 'red', notes: ['n'], variables: { v: 1 } }),
      { color: 'red' },
      { manager: 'two' },
    );
    const result = apply(shared, { size: 1 });
    assert.deepEqual(result['spec'], { size: 1, color: 'red' });
    assert.deepEqual(fieldsOf(result, 'two'), ['f:spec/f:color']);
  });

  test('removes an item of a keyed list with everything in it', () => {
    const live = apply(nothing, { size: 1, waves: [{ name: 'a', percent: 5 }, { name: 'b' }] });
    const plain = apply(live, { size: 1, waves: [{ name: 'b' }] });
    assert.deepEqual(plain['spec'], { size: 1, waves: [{ name: 'b' }] });
  });

  test('an item that stays for another manager keeps its key', () => {
    const live = apply(nothing, { size: 1, waves: [{ name: 'a', percent: 5 }] });
    const both = update(live, { size: 1, waves: [{ name: 'a', percent: 5, soak: '9m' }] });
    assert.deepEqual(apply(both, { size: 1 })['spec'], { size: 1, waves: [{ name: 'a', soak: '9m' }] });
  });

  test('items come in the order that was applied, those of others between them', () => {
    const live = apply(nothing, { waves: [{ name: 'a' }, { name: 'mine' }, { name: 'b' }] });
    const mixed = apply(live, { waves: [{ name: 'x' }] }, { manager: 'two' });
    const result = apply(mixed, { waves: [{ name: 'b' }, { name: 'mine' }, { name: 'a' }] });
    const names = (result['spec'] as { waves: { name: string }[] }).waves.map((w) => w.name);
    assert.deepEqual(
      names.filter((n) => n !== 'x'),
      ['b', 'mine', 'a'],
    );
    assert.ok(names.includes('x'));
  });

  test('another value for a field of another manager is a conflict that names the manager', () => {
    const live = apply(nothing, { size: 1, waves: [{ name: 'a', percent: 5 }] });
    const attempt = () => apply(live, { size: 2, waves: [{ name: 'a', percent: 6 }] }, { manager: 'two' });
    assert.throws(attempt, (error) => {
      assert.ok(isConflict(error) && error instanceof StatusError);
      assert.deepEqual(error.details.causes, [
        {
          reason: 'FieldManagerConflict',
          field: '.spec.size',
          message: 'conflict with "one" using example.dev/v1alpha1',
        },
        {
          reason: 'FieldManagerConflict',
          field: '.spec.waves[name="a"].percent',
          message: 'conflict with "one" using example.dev/v1alpha1',
        },
      ]);
      return true;
    });
  });

  test('the same value is owned by both, force takes it over', () => {
    const live = apply(nothing, { size: 1, color: 'red' });
    assert.deepEqual(fieldsOf(apply(live, { size: 1 }, { manager: 'two' }), 'one'), [
      'f:spec/f:color',
      'f:spec/f:size',
    ]);
    const forced = apply(live, { size: 2 }, { manager: 'two', force: true });
    assert.deepEqual(fieldsOf(forced, 'one'), ['f:spec/f:color']);
    assert.deepEqual(fieldsOf(forced, 'two'), ['f:spec/f:size']);
    assert.deepEqual(forced['spec'], { size: 2, color: 'red' });
  });

  test('an update takes the fields that it changes', () => {
    const edited = update(apply(nothing, { size: 1, color: 'red' }), { size: 9, color: 'red' });
    assert.deepEqual(fieldsOf(edited, 'one'), ['f:spec/f:color']);
    assert.deepEqual(fieldsOf(edited, 'editor'), ['f:spec/f:size']);
    assert.throws(() => apply(edited, { size: 1, color: 'red' }), /conflict with "editor"/);
  });

  test('an update that removes a field leaves it to nobody', () => {
    const edited = update(apply(nothing, { size: 1, variables: { a: 1, b: 2 } }), {
      size: 1,
      variables: { a: 1 },
    });
    assert.deepEqual(fieldsOf(edited, 'one'), ['f:spec/f:size', 'f:spec/f:variables/f:a']);
  });

  test('one-time writers are folded into one entry', () => {
    let live = apply(nothing, { size: 1 });
    for (let i = 2; i < 40; i++)
      live = update(
        live,
        { size: 1, variables: { ...(spec(live)['variables'] as object), [`v${i}`]: i } },
        `writer-${i}`,
      );
    assert.ok((live.metadata.managedFields?.length ?? 99) <= 11);
    assert.equal(fieldsOf(live, 'ancient-changes').length, 29);
  });
});

const spec = (object: KubeObject) => object['spec'] as Record<string, unknown>;

const element = fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'v:"y"');
const path = fc.array(element, { minLength: 1, maxLength: 4 });
const fieldSet = fc.array(path, { maxLength: 8 }).map((paths) => paths.map(setOf).reduce(union, emptySet()));
const text = (set: FieldSet) => [...members(set)].map((p) => p.join('/')).sort();

function setOf([first, ...rest]: readonly string[]): FieldSet {
  if (first === undefined) return { member: true, children: new Map() };
  return { member: false, children: new Map([[first, setOf(rest)]]) };
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
    fc.assert(
      fc.property(
        fieldSet,
        (a) => isEqual(fromFieldsV1(JSON.parse(JSON.stringify(toFieldsV1(a)))), a) || text(a).length === 0,
      ),
    );
  });
});

const specs = fc
  .record(
    {
      size: fc.integer({ min: 1, max: 3 }),
      color: fc.constantFrom('red', 'green'),
      notes: fc.array(fc.constantFrom('n', 'm'), { maxLength: 2 }),
      tags: fc.uniqueArray(fc.constantFrom('x', 'y', 'z')),
      variables: fc.dictionary(fc.constantFrom('a', 'b'), fc.integer({ min: 0, max: 2 })),
      waves: fc.uniqueArray(
        fc.record(
          { name: fc.constantFrom('a', 'b', 'c'), percent: fc.integer({ min: 1, max: 3 }) },
          { requiredKeys: ['name'] },
        ),
        { selector: (w) => w.name },
      ),
    },
    { requiredKeys: [] },
  )
  .map(copyJson);

const contains = (whole: unknown, part: unknown): boolean => {
  if (Array.isArray(part)) {
    return Array.isArray(whole) && part.every((p) => whole.some((w) => contains(w, p)));
  }
  if (typeof part !== 'object' || part === null) return whole === part;
  return Object.entries(part).every(([k, v]) => contains((whole as Record<string, unknown>)?.[k], v));
};

describe('server-side apply, whatever is applied', () => {
  test('the result holds what was applied, and applying again changes nothing', () => {
    fc.assert(
      fc.property(specs, specs, specs, (first, other, second) => {
        const live = apply(apply(nothing, first), other, { manager: 'two', force: true });
        const result = apply(live, second, { force: true });
        assert.ok(contains(result['spec'], second));
        assert.deepEqual(apply(result, second), result);
      }),
    );
  });

  test('a single manager gets exactly its last configuration', () => {
    fc.assert(
      fc.property(specs, specs, (first, second) => {
        assert.deepEqual(apply(apply(nothing, first), second)['spec'], apply(nothing, second)['spec']);
      }),
    );
  });
});
