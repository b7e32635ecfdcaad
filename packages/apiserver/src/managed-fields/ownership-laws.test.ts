import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { copyJson, isConflict, type KubeObject } from '@selvedge/api';
import fc from 'fast-check';
import { readSchema, type StructuralSchema } from '../schema/structural-schema.ts';
import { applyConfiguration } from './apply.ts';
import { type FieldSet, inOrder, isEqual, members, readFieldsV1 } from './field-set.ts';
import { withManagers } from './managers.ts';
import type { PathElement } from './path-element.ts';
import {
  changesBetween,
  type Cell,
  type Owners,
  ownersAfterApply,
  ownersAfterUpdate,
  tableOf,
} from './testing/ownership-model.ts';
import { objects, typedValues } from './testing/random-typed-values.ts';
import { trackUpdate } from './track-update.ts';

const apiVersion = 'model.dev/v1';
const now = '2026-01-01T00:00:00Z';
const metadata = { name: 'a', uid: 'u' };
const born: KubeObject = { apiVersion, kind: 'Model', metadata: { name: 'a' } };

interface Write {
  readonly kind: 'apply' | 'force' | 'update';
  readonly manager: string;
  readonly spec: unknown;
}

/** A schema, and writes of several managers in it. */
const histories = objects(typedValues(2)).chain(({ schema, values }) =>
  fc.record({
    schema: fc.constant(schemaOf(schema)),
    writes: fc.array(
      fc.record<Write>({
        kind: fc.constantFrom('apply', 'apply', 'force', 'update'),
        manager: fc.constantFrom('one', 'two', 'three'),
        spec: values,
      }),
      { minLength: 1, maxLength: 7 },
    ),
  }),
);

function schemaOf(spec: object): StructuralSchema {
  const any = { type: 'object', properties: { name: { type: 'string' }, uid: { type: 'string' } } };
  return readSchema({ type: 'object', properties: { apiVersion: {}, kind: {}, metadata: any, spec } });
}

/** What is applied keeps no tie to what is stored, as over the wire. */
function write(live: KubeObject, schema: StructuralSchema, { kind, manager, spec }: Write): KubeObject {
  const identity = { manager, operation: kind === 'update' ? 'Update' : 'Apply', apiVersion } as const;
  const sent = copyJson({ apiVersion, kind: 'Model', metadata: { name: 'a' }, spec }) as KubeObject;
  if (kind !== 'update') {
    const request = { live, applied: sent, schema, manager: identity, force: kind === 'force', now };
    const result = applyConfiguration(request);
    return { ...result, metadata: { ...result.metadata, ...metadata } };
  }
  const before = live.metadata.uid === undefined ? undefined : live;
  const after = { ...sent, metadata };
  return withManagers(after, trackUpdate({ before, after, schema, manager: identity, now }));
}

/** Runs a history; refused applies change nothing. */
function run(
  { schema, writes }: { schema: StructuralSchema; writes: readonly Write[] },
  each: (step: { before: KubeObject; after: KubeObject | undefined; write: Write }) => void,
): KubeObject {
  let live = born;
  for (const next of writes) {
    const before = copyJson(live);
    let after: KubeObject | undefined;
    try {
      after = write(live, schema, next);
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
    assert.deepEqual(live, before, 'the live object was changed');
    each({ before, after, write: next });
    // As it would come back from the store.
    if (after) live = copyJson(after);
  }
  return live;
}

const table = (object: KubeObject, schema: StructuralSchema): Map<string, Cell> => {
  const { spec } = object as KubeObject & { spec?: unknown };
  return tableOf(spec === undefined ? {} : { spec }, schema);
};

/** Apply and Update of one name are two managers. */
const ownerOf = ({ kind, manager }: Write) => `${manager} ${kind === 'update' ? 'Update' : 'Apply'}`;

/** A path as the model writes it. */
const modelPath = (path: readonly PathElement[]): string =>
  path
    .map((element) => {
      if (element.startsWith('f:')) return `/${element.slice(2)}`;
      const value: unknown = JSON.parse(element.slice(2));
      return `/${JSON.stringify(element.startsWith('k:') ? Object.values(value as object) : value)}`;
    })
    .join('');

const ownersOf = (object: KubeObject): Owners =>
  new Map(
    (object.metadata.managedFields ?? []).map(({ manager, operation, fieldsV1 }) => [
      `${manager} ${operation}`,
      new Set([...members(fieldsV1 as FieldSet)].map(modelPath)),
    ]),
  );

/** Of an object that nobody owns everything belongs to what was before, as soon as somebody applies. */
const untracked = ({ kind }: Write, former: ReadonlyMap<string, Cell>): Owners =>
  new Map(kind === 'update' ? [] : [['before-first-apply Update', new Set(former.keys())]]);

const sorted = (owners: Owners) =>
  [...owners].map(([name, paths]) => [name, [...paths].sort()] as const).sort(([a], [b]) => (a < b ? -1 : 1));

const isOwnedBelow = (owners: Owners, path: string) =>
  [...owners.values()].some((paths) => [...paths].some((p) => p === path || p.startsWith(`${path}/`)));

/**
 * Nothing but lists without items is left when the manager's own go. Kubernetes takes such an object away, even where
 * it is applied empty (`addBackDanglingItems`).
 */
const wasHollow = (path: string, former: ReadonlyMap<string, Cell>, own: ReadonlySet<string>) => {
  const left = [...former].filter(([p]) => p.startsWith(`${path}/`) && !own.has(p));
  return left.length > 0 && left.every(([, { value }]) => value === '(parts)');
};

describe('whatever the schema, whoever writes', () => {
  test('managedFields are those of the plain model', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { schema } = history;
        let owners: Owners = new Map();
        run(history, ({ before, after, write: written }) => {
          if (!after) return;
          const former = table(before, schema);
          const changes = changesBetween(former, table(after, schema));
          const applied = table({ ...born, spec: written.spec }, schema);
          const isThere = before.metadata.uid !== undefined;
          const known = owners.size === 0 && isThere ? untracked(written, former) : owners;
          if (written.kind !== 'update') {
            owners = ownersAfterApply(known, ownerOf(written), { applied, changes });
          } else if (known.size > 0 || !isThere) owners = ownersAfterUpdate(known, ownerOf(written), changes);
          assert.deepEqual(sorted(ownersOf(after)), sorted(owners));
        });
      }),
    );
  });

  test('what was applied last is so', () => {
    const list = { type: 'array', items: { type: 'string' }, 'x-kubernetes-list-type': 'set' };
    const map = { type: 'object', additionalProperties: { type: 'string' } };
    const hollow = schemaOf({ type: 'object', properties: { b: map, c: list } });
    const apply = (spec: unknown): Write => ({ kind: 'apply', manager: 'one', spec });
    fc.assert(
      fc.property(histories, (history) => {
        run(history, ({ before, after, write: written }) => {
          if (!after || written.kind === 'update') return;
          const [former, result] = [table(before, history.schema), table(after, history.schema)];
          const last = ownersOf(before).get(ownerOf(written)) ?? new Set<string>();
          // A list without items is nobody's, and may go when what was in it goes.
          for (const [path, { value, isOwned }] of table({ ...born, spec: written.spec }, history.schema)) {
            if (!isOwned || (!result.has(path) && wasHollow(path, former, last))) continue;
            assert.equal(result.get(path)?.value, value, path);
          }
        });
      }),
      { examples: [[{ schema: hollow, writes: [apply({ b: {}, c: [] }), apply({})] }]] },
    );
  });

  test('without force nothing is lost that another owns, and a refused apply has a reason', () => {
    const free = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    const reshaped: readonly Write[] = [
      { kind: 'apply', manager: 'two', spec: { b: {} } },
      { kind: 'update', manager: 'one', spec: { b: { a: 'x' } } },
      { kind: 'apply', manager: 'two', spec: { b: [] } },
    ];
    fc.assert(
      fc.property(histories, (history) => {
        const { schema } = history;
        run(history, ({ before, after, write: written }) => {
          if (written.kind !== 'apply') return;
          const former = table(before, schema);
          const owners = ownersOf(before);
          const known = owners.size === 0 && before.metadata.uid ? untracked(written, former) : owners;
          const others = [...known].filter(([name]) => name !== ownerOf(written));
          const owned = others.flatMap(([, paths]) => [...paths]);
          const result = after && table(after, schema);
          const applied = table({ ...born, spec: written.spec }, schema);
          const isContested = owned.some((path) => {
            const wanted = applied.get(path);
            return wanted !== undefined && wanted.value !== former.get(path)?.value;
          });
          if (!result) assert.ok(isContested, 'refused without a conflict');
          else {
            // Who owns a field of an item, but not the item, loses it with the item.
            const last = ownersOf(before).get(ownerOf(written)) ?? new Set<string>();
            const lone = [...last].filter((path) => !applied.has(path) && !owned.includes(path));
            const whole = [...applied.keys()].filter((path) => applied.get(path)?.value !== '(parts)');
            for (const path of owned) {
              const value = former.get(path)?.value;
              // Objects and lists that it emptied may go.
              if (value === '(parts)' || lone.some((item) => path.startsWith(`${item}/`))) continue;
              // Where a free-form object becomes a list or a text, Kubernetes asks only the owners of that very path.
              if (whole.some((p) => path.startsWith(`${p}/`))) continue;
              assert.equal(result.get(path)?.value, value, path);
            }
          }
        });
      }),
      { examples: [[{ schema: schemaOf(free), writes: [...reshaped] }]] },
    );
  });

  test('what the manager no longer applies goes, unless another owns it; what it never had stays', () => {
    fc.assert(
      fc.property(histories, (history) => {
        const { schema } = history;
        run(history, ({ before, after, write: written }) => {
          if (!after || written.kind === 'update') return;
          const [former, result] = [table(before, schema), table(after, schema)];
          const applied = table({ ...born, spec: written.spec }, schema);
          const owners = ownersOf(before);
          const last = owners.get(ownerOf(written)) ?? new Set<string>();
          const others = new Map([...owners].filter(([name]) => name !== ownerOf(written)));
          for (const [path, { value }] of former) {
            const isDropped = last.has(path) && !applied.has(path);
            if (isDropped && value !== '(parts)' && !isOwnedBelow(others, path)) {
              assert.notEqual(result.get(path)?.value, value, `${path} is still there`);
            }
            const wasNeverTheirs = ![...last].some(
              (p) => path === p || path.startsWith(`${p}/`) || p.startsWith(`${path}/`),
            );
            const isReplaced = [...applied.keys()].some((p) => p === path || path.startsWith(`${p}/`));
            if (wasNeverTheirs && !isReplaced)
              assert.equal(result.get(path)?.value, value, `${path} is gone`);
          }
        });
      }),
    );
  });

  test('applying the same again changes nothing', () => {
    fc.assert(
      fc.property(histories, (history) => {
        run(history, ({ after, write: written }) => {
          if (!after?.metadata.managedFields || written.kind === 'update') return;
          const again = { ...written, kind: 'apply' } as const;
          // An empty list that went with what was in it comes back once.
          const settled = write(copyJson(after), history.schema, again);
          assert.deepEqual(write(copyJson(settled), history.schema, again), settled);
        });
      }),
    );
  });

  test('two who do not disagree may come in any order', () => {
    const pairs = objects(typedValues(2)).chain(({ schema, values }) =>
      fc.record({ schema: fc.constant(schemaOf(schema)), one: values, two: values }),
    );
    fc.assert(
      fc.property(pairs, ({ schema, one, two }) => {
        const owns = (spec: unknown) => [...table({ ...born, spec }, schema).values()].some((c) => c.isOwned);
        fc.pre(owns(one) && owns(two));
        const first: Write = { kind: 'apply', manager: 'one', spec: one };
        const second: Write = { kind: 'apply', manager: 'two', spec: two };
        const results = [
          [first, second],
          [second, first],
        ].map((writes) => {
          let refused = false;
          const object = run({ schema, writes }, ({ after }) => (refused ||= after === undefined));
          return { refused, cells: new Map(table(object, schema)), owners: sorted(ownersOf(object)) };
        });
        assert.deepEqual(results[0]?.refused, results[1]?.refused);
        if (!results[0]?.refused) assert.deepEqual(results[0], results[1]);
      }),
    );
  });

  test('a single manager gets exactly its last configuration, but for what it emptied', () => {
    fc.assert(
      fc.property(histories, ({ schema, writes }) => {
        const alone = writes.map((w): Write => ({ ...w, kind: 'apply', manager: 'one' }));
        const object = run({ schema, writes: alone }, ({ after }) => assert.ok(after));
        const last = table({ ...born, spec: writes.at(-1)?.spec }, schema);
        for (const [path, { value }] of table(object, schema)) {
          if (!last.has(path)) assert.equal(value, '(parts)', path);
        }
      }),
    );
  });

  test('sets survive the wire, and other orders and spellings of keys', () => {
    fc.assert(
      fc.property(histories, (history) => {
        run(history, ({ after }) => {
          for (const { fieldsV1 } of after?.metadata.managedFields ?? []) {
            const set = fieldsV1 as FieldSet;
            assert.equal(JSON.stringify(inOrder(set)), JSON.stringify(set));
            const shuffled = JSON.parse(
              JSON.stringify(reversed(set)).replaceAll('\\\\u003c', '<'),
            ) as unknown;
            assert.ok(isEqual(readFieldsV1(shuffled), set));
          }
        });
      }),
    );
  });
});

const reversed = (value: unknown): unknown =>
  Object.fromEntries(
    Object.entries(value as object)
      .reverse()
      .map(([element, below]) => [element, reversed(below)]),
  );
