import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isConflict, type KubeObject, StatusError } from '@selvedge/api';
import { objectSchema } from '../schema/object-schema.ts';
import { gadgetDefinition } from '../testing/sample-definitions.ts';
import { applyConfiguration } from './apply.ts';
import { emptySet, members } from './field-set.ts';
import { readManagers, withManagers } from './managers.ts';
import { trackUpdate } from './track-update.ts';

const schema = objectSchema(gadgetDefinition);
const apiVersion = 'example.dev/v1alpha1';
const start = new Date(Date.UTC(2026, 0, 1));

const gadget = (spec: unknown, metadata: object = {}): KubeObject => ({
  apiVersion,
  kind: 'Gadget',
  metadata: { name: 'a', ...metadata },
  ...(spec === undefined ? {} : { spec }),
});
const nothing = gadget(undefined);

const request = (live: KubeObject, wanted: unknown) => ({
  live,
  applied: gadget(wanted),
  schema,
  force: false,
  now: start.toISOString(),
  manager: { manager: 'one', operation: 'Apply', apiVersion } as const,
});

const apply = (
  live: KubeObject,
  wanted: unknown,
  {
    manager = 'one',
    force = false,
    now = start,
  }: { manager?: string; force?: boolean; now?: Date | undefined } = {},
): KubeObject =>
  applyConfiguration({
    ...request(live, wanted),
    manager: { manager, operation: 'Apply', apiVersion },
    force,
    now: now.toISOString(),
  });

const update = (
  live: KubeObject | undefined,
  wanted: unknown,
  ...[manager = 'editor', now = start]: [manager?: string, now?: Date | undefined]
): KubeObject => {
  const after = gadget(wanted, live?.metadata);
  const identity = { manager, operation: 'Update' as const, apiVersion };
  return withManagers(
    after,
    trackUpdate({ before: live, after, schema, manager: identity, now: now.toISOString() }),
  );
};

const fieldsOf = (object: KubeObject, manager: string): string[] => {
  const record = readManagers(object, schema).find((r) => r.identity.manager === manager);
  return [...members(record?.set ?? emptySet)].map((path) => path.join('/'));
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

  test('an item goes with what others own in it, unless they own the item', () => {
    const live = apply(nothing, {
      size: 1,
      waves: [
        { name: 'a', percent: 5 },
        { name: 'b', percent: 5 },
      ],
    });
    const edited = update(live, {
      size: 1,
      waves: [
        { name: 'a', percent: 5, soak: '9m' },
        { name: 'b', percent: 5 },
      ],
    });
    const shared = apply(edited, { waves: [{ name: 'b', soak: '1m' }] }, { manager: 'two' });
    assert.deepEqual(apply(shared, { size: 1 })['spec'], { size: 1, waves: [{ name: 'b', soak: '1m' }] });
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
          message: 'conflict with "one"',
        },
        {
          reason: 'FieldManagerConflict',
          field: '.spec.waves[name="a"].percent',
          message: 'conflict with "one"',
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

  test('one-time writers are folded into one entry, with the time of the last of them', () => {
    let live = update(undefined, { size: 1 }, 'creator');
    for (let i = 2; i < 40; i++) {
      const variables = { ...(spec(live)['variables'] as object), [`v${i}`]: i };
      live = update(live, { size: 1, variables }, `writer-${i}`, new Date(Date.UTC(2026, 0, i)));
    }
    const managers = live.metadata.managedFields ?? [];
    assert.equal(managers.length, 10);
    assert.deepEqual(
      [managers[0]?.manager, managers[0]?.time],
      ['ancient-changes', '2026-01-30T00:00:00.000Z'],
    );
    assert.ok(fieldsOf(live, 'ancient-changes').includes('f:spec/f:variables/f:v30'));
  });

  test('several conflicts are listed by manager', () => {
    const live = apply(update(undefined, { size: 1 }, 'editor'), { color: 'red' });
    assert.throws(() => apply(live, { size: 2, color: 'green' }, { manager: 'two' }), {
      message: [
        'Apply failed with 2 conflicts: conflicts with "editor" using example.dev/v1alpha1:',
        '- .spec.size',
        'conflicts with "one":',
        '- .spec.color',
      ].join('\n'),
    });
  });

  test('a list or object that has become indivisible is owned as one, by all who owned parts of it', () => {
    const tags = { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'atomic' };
    const narrowed = objectSchema({
      ...gadgetDefinition,
      schema: { type: 'object', properties: { spec: { type: 'object', properties: { tags, size: {} } } } },
    });
    const live = apply(apply(nothing, { tags: ['a'], size: 1 }), { tags: ['b'] }, { manager: 'two' });
    const again = (wanted: string[]) =>
      applyConfiguration({ ...request(live, { tags: wanted, size: 1 }), schema: narrowed });
    assert.throws(() => again(['a']), /conflict with "two": \.spec\.tags/);
    const same = again(['a', 'b']);
    assert.deepEqual(same['spec'], { tags: ['a', 'b'], size: 1 });
    assert.deepEqual(fieldsOf(same, 'two'), ['f:spec/f:tags']);
  });

  test('fields that the schema no longer has do no harm, and go with the next apply of their owner', () => {
    const live = apply(apply(nothing, { size: 1 }), { size: 1 }, { manager: 'two' });
    const managers = live.metadata.managedFields ?? [];
    const fieldsV1 = { 'f:spec': { 'f:gone': { 'f:deep': {} }, 'f:size': {} }, 'f:lost': {} };
    const stale = withManagers(
      live,
      managers.map((entry) => (entry.manager === 'one' ? { ...entry, fieldsV1 } : entry)),
    );
    assert.deepEqual(fieldsOf(update(stale, { size: 2 }), 'one'), ['f:lost', 'f:spec/f:gone/f:deep']);
    assert.deepEqual(fieldsOf(apply(stale, { size: 1 }), 'one'), ['f:spec/f:size']);
  });

  test('the time is that of the last change by the manager itself', () => {
    const [day1, day2, day3] = [1, 2, 3].map((day) => new Date(Date.UTC(2026, 0, day)));
    const times = (object: KubeObject) =>
      Object.fromEntries((object.metadata.managedFields ?? []).map((m) => [m.manager, m.time?.slice(8, 10)]));
    const first = apply(nothing, { size: 1, color: 'red' }, { now: day1 });
    const second = update(first, { size: 2, color: 'red' }, 'editor', day2);
    assert.deepEqual(times(second), { one: '01', editor: '02' });
    const third = update(second, { size: 3, color: 'red' }, 'editor', day3);
    assert.deepEqual(times(third), { one: '01', editor: '03' });
    assert.deepEqual(times(apply(third, { color: 'red' }, { now: day3 })), { one: '01', editor: '03' });
    // Who agrees changes nothing, not even a time.
    assert.deepEqual(times(apply(third, { size: 3 }, { manager: 'two', now: day3 })), {
      one: '01',
      editor: '03',
      two: undefined,
    });
  });

  test('ten thousand items, and objects as deep as they may be, take no time to speak of', () => {
    const waves = Array.from({ length: 10_000 }, (_, i) => ({ name: `wave-${i}`, percent: 1 }));
    const tags = waves.map(({ name }) => name);
    const live = apply(nothing, { size: 1, waves, tags });
    const shuffled = { size: 1, waves: waves.toReversed(), tags: tags.toReversed() };
    const turned = apply(live, shuffled);
    assert.equal((spec(turned)['waves'] as unknown[]).length, 10_000);
    const half = {
      size: 1,
      waves: waves.filter((_, i) => i % 2 === 0),
      tags: tags.filter((_, i) => i % 3 === 0),
    };
    const less = apply(turned, half);
    assert.equal((spec(less)['waves'] as unknown[]).length, 5_000);
    const others = apply(less, shuffled, { manager: 'two', force: true });
    const edited = update(others, { size: 2, waves: waves.map((w) => ({ ...w, percent: 2 })), tags: [] });
    assert.equal(fieldsOf(edited, 'editor').length, 10_001);
    assert.throws(() => apply(edited, shuffled, { manager: 'three' }), /10001 conflicts/);

    let deep: unknown = 'bottom';
    for (let i = 0; i < 190; i++) deep = { [`level-${i}`]: deep };
    const sunk = apply(nothing, { size: 1, deep });
    assert.deepEqual(spec(apply(sunk, { size: 1 })), { size: 1 });
    assert.deepEqual(spec(apply(update(sunk, { size: 2, deep }), { size: 2, deep })), { size: 2, deep });
  });
});

const spec = (object: KubeObject) => object['spec'] as Record<string, unknown>;
