import fc from 'fast-check';
import type { Step } from './comparison.ts';
import {
  apply,
  configMaps,
  create,
  get,
  gizmos,
  objectAt,
  type Parameters,
  patch,
  remove,
  secrets,
  update,
  widgets,
} from './requests.ts';

type Json = Record<string, unknown>;

/** A request about an object whose name is given later: each sequence works on an object of its own. */
export type StepFor = (name: string) => Step;

const few = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 3 });
const letter = fc.constantFrom('a', 'b', 'c');
const digit = fc.integer({ min: 1, max: 3 });
const letters = fc.dictionary(letter, letter, { maxKeys: 3, noNullPrototype: true });
const sometimes = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 3 });
/** Mostly the value, seldom null. */
const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 20 });

const partly = (fields: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Json> =>
  fc
    .record(Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, sometimes(value)])))
    .map((record) => JSON.parse(JSON.stringify(record)) as Json);

const port = fc
  .tuple(
    digit,
    partly({
      protocol: fc.constantFrom('TCP', 'UDP'),
      name: letter,
      labels: letters,
      options: partly({ a: digit, b: digit }),
    }),
  )
  .map(([number, others]) => ({ port: number, ...others }));
const part = fc
  .tuple(
    letter,
    partly({
      count: digit,
      sub: fc.uniqueArray(letter, { maxLength: 2 }).map((keys) => keys.map((key) => ({ key, value: 'v' }))),
    }),
  )
  .map(([name, others]) => ({ name, ...others }));
const free: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    letter,
    digit,
    fc.array(digit, { maxLength: 2 }),
    fc.dictionary(letter, tie('value'), { maxKeys: 2, noNullPrototype: true }),
  ),
})).value;

const spec = partly({
  replicas: digit,
  color: fc.constantFrom('red', 'green', 'pink'),
  mode: orNull(letter),
  title: fc.constantFrom('a', 'b'),
  remark: orNull(letter),
  size: fc.oneof(digit, letter),
  tags: few(letter),
  sizes: fc.uniqueArray(fc.constantFrom(1, 2, 10), { maxLength: 3 }),
  notes: few(letter),
  ports: few(port),
  parts: few(part),
  labels: letters,
  selector: letters,
  place: orNull(partly({ city: letter, zip: letter, door: partly({ floor: digit }) })),
  fixed: partly({ a: digit, b: letters }),
  limits: fc.dictionary(letter, partly({ min: digit, max: digit }), { maxKeys: 2, noNullPrototype: true }),
  free: fc.dictionary(letter, free, { maxKeys: 2, noNullPrototype: true }),
  half: fc
    .tuple(partly({ known: letter }), fc.dictionary(letter, free, { maxKeys: 1, noNullPrototype: true }))
    .map(([known, others]) => ({ ...others, ...known })),
});
const status = partly({
  phase: letter,
  conditions: fc
    .uniqueArray(letter, { maxLength: 2 })
    .chain((types) =>
      fc.tuple(
        ...types.map((type) =>
          partly({ status: letter, message: letter }).map((others) => ({ type, ...others })),
        ),
      ),
    ),
});
const metadata = partly({
  labels: letters,
  annotations: letters,
  finalizers: few(fc.constantFrom('x.dev/a', 'x.dev/b')),
});

interface Kind {
  readonly path: string;
  readonly body: fc.Arbitrary<Json>;
  /** A list of a merge patch type that the kind takes. */
  readonly patches: readonly ('merge' | 'strategic')[];
  readonly hasStatus: boolean;
  /** Pointers that JSON patches speak of, with a value that may stand there. */
  readonly pointers: readonly (readonly [pointer: string, value: unknown])[];
}

const meta: Kind['pointers'] = [
  ['/metadata/labels', { a: 'b' }],
  ['/metadata/labels/a', 'c'],
  ['/metadata/finalizers/-', 'x.dev/a'],
  ['/metadata/finalizers/0', 'x.dev/b'],
  ['/metadata/annotations/x~1y', 'z'],
  ['/metadata/name', 'other'],
];

const custom = (path: string, hasStatus: boolean): Kind => ({
  path,
  body: fc.record({ metadata, spec: orNull(spec) }) as fc.Arbitrary<Json>,
  patches: ['merge'],
  hasStatus,
  pointers: [
    ...meta,
    ['/spec', { replicas: 3 }],
    ['/spec/replicas', 2],
    ['/spec/tags/0', 'c'],
    ['/spec/tags/-', 'd'],
    ['/spec/ports', []],
    ['/spec/ports/0/name', 'n'],
    ['/spec/place/door', { floor: 2 }],
    ['/spec/free/a', { b: { c: 1 } }],
    ['/spec/labels/a', 'z'],
    ['/spec/unknown', 1],
  ],
});

export const kinds: Readonly<Record<string, Kind>> = {
  'custom resources with a status': custom(widgets, true),
  'custom resources of the cluster': custom(gizmos, false),
  'config maps': {
    path: configMaps,
    body: fc.record({ metadata, data: orNull(letters) }) as fc.Arbitrary<Json>,
    patches: ['merge', 'strategic'],
    hasStatus: false,
    pointers: [...meta, ['/data', { a: 'b' }], ['/data/a', 'x'], ['/data/b', 1], ['/immutable', true]],
  },
  secrets: {
    path: secrets,
    body: fc
      .tuple(
        metadata,
        partly({ data: letters.map((data) => mapValues(data, () => 'YQ==')), stringData: letters }),
      )
      .map(([m, content]) => ({ metadata: m, ...content })),
    patches: ['merge', 'strategic'],
    hasStatus: false,
    pointers: [...meta, ['/data/a', 'Yg=='], ['/stringData', { a: 'b' }], ['/type', 'x/y']],
  },
};

const mapValues = (object: Json, map: (value: unknown) => unknown): Json =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value)]));

/** A body with some of its fields null, for merge patches. */
function withNulls(value: unknown, isNull: () => boolean): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return mapValues(value as Json, (child) => (isNull() ? null : withNulls(child, isNull)));
}

const manager = fc.constantFrom('one', 'two', 'three');
const dryRun = fc.option(fc.constant('All'), { nil: undefined, freq: 15 });

/** Any request about one object of a kind. */
export function randomStep(kind: Kind): fc.Arbitrary<StepFor> {
  const { path, body } = kind;
  const parameters: fc.Arbitrary<Parameters> = fc.record({ dryRun });
  const choices: fc.WeightedArbitrary<StepFor>[] = [
    {
      weight: 8,
      arbitrary: fc.record({ body, manager, force: sometimes(fc.boolean()), parameters }).map(
        ({ body: given, ...options }) =>
          (name) =>
            apply(path, name, given, clean(options)),
      ),
    },
    {
      weight: 2,
      arbitrary: fc.record({ body, parameters }).map(
        ({ body: given, parameters: query }) =>
          (name) =>
            create(path, objectAt(path, name, given), query),
      ),
    },
    {
      weight: 3,
      arbitrary: fc
        .record({ body, manager, isStale: fc.boolean() })
        .map(({ body: given, manager: fieldManager, isStale }) => (name) => (last) => {
          const object = objectAt(path, name, given);
          const known = (last['metadata'] ?? {}) as Json;
          const resourceVersion = isStale && given['spec'] ? '1' : known['resourceVersion'];
          object['metadata'] = {
            ...(object['metadata'] as Json),
            ...(resourceVersion ? { resourceVersion } : {}),
          };
          return update(path, object, { fieldManager });
        }),
    },
    {
      weight: 5,
      arbitrary: fc
        .record({
          body,
          seed: fc.nat(),
          type: fc.constantFrom(...kind.patches),
          fieldManager: manager,
          dryRun,
        })
        .map(({ body: given, seed, type, ...query }) => {
          let state = seed;
          const isNull = () => (state = (state * 1103515245 + 12345) % 2147483648) % 7 === 0;
          const body = withNulls(given, isNull);
          return (name) => patch(type, `${path}/${name}`, body, query);
        }),
    },
    {
      weight: 3,
      arbitrary: fc
        .array(
          fc.tuple(fc.constantFrom('add', 'replace', 'remove', 'test'), fc.constantFrom(...kind.pointers)),
          { minLength: 1, maxLength: 2 },
        )
        .map((operations) =>
          operations.map(([op, [pointer, value]]) =>
            op === 'remove' ? { op, path: pointer } : { op, path: pointer, value },
          ),
        )
        .map((operations) => (name) => patch('json', `${path}/${name}`, operations)),
    },
    { weight: 1, arbitrary: fc.constant((name) => get(path, name)) },
    {
      weight: 1,
      arbitrary: fc.boolean().map((isStale) => (name) => (last) => {
        const { uid } = (last['metadata'] ?? {}) as Json;
        const right = uid ? { uid } : {};
        return remove(path, name, { preconditions: isStale ? { resourceVersion: '1' } : right });
      }),
    },
  ];
  if (kind.hasStatus) {
    choices.push({
      weight: 2,
      arbitrary: fc.record({ status, manager, force: sometimes(fc.boolean()) }).map(
        ({ status: given, ...options }) =>
          (name) =>
            apply(path, name, { status: given }, { ...clean(options), subresource: 'status' }),
      ),
    });
    choices.push({
      weight: 2,
      arbitrary: fc
        .record({ status, spec })
        .map((given) => (name) => patch('merge', `${path}/${name}/status`, given)),
    });
  }
  return fc.oneof(...choices);
}

/** Without what is undefined. */
const clean = <T extends object>(options: T) =>
  JSON.parse(JSON.stringify(options)) as { [K in keyof T]: NonNullable<T[K]> };
