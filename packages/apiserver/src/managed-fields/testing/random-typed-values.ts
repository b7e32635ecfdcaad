import fc from 'fast-check';
import type { JsonSchema } from '../../resource-definition.ts';

/** A schema with values that fit it. */
export interface TypedValues {
  readonly schema: JsonSchema;
  readonly values: fc.Arbitrary<unknown>;
}

const names = ['a', 'b', 'c'] as const;
const scalar = fc.constantFrom('x', 'y', '<&>');
const text: JsonSchema = { type: 'string' };

/** Schemas of everything that ownership tells apart, in each other; never null, never twins. */
export function typedValues(depth: number): fc.Arbitrary<TypedValues> {
  const leaves = fc.constantFrom<TypedValues>(
    { schema: text, values: scalar },
    { schema: { type: 'integer' }, values: fc.integer({ min: 0, max: 2 }) },
    setOf('set'),
    setOf('atomic'),
    { schema: freeForm, values: freeValues },
    {
      schema: { type: 'object', additionalProperties: text, 'x-kubernetes-map-type': 'atomic' },
      values: mapOf(scalar),
    },
  );
  if (depth === 0) return leaves;
  const below = typedValues(depth - 1);
  return fc.oneof(leaves, objects(below), below.map(keyedLists), below.map(maps));
}

/** Objects, as an object of a kind is below its metadata. */
export function objects(below: fc.Arbitrary<TypedValues>): fc.Arbitrary<TypedValues> {
  return fc.tuple(below, below, below).map((parts) => {
    const fields = names.map((name, i) => [name, parts[i] as TypedValues] as const);
    return {
      schema: { type: 'object', properties: Object.fromEntries(fields.map(([n, p]) => [n, p.schema])) },
      values: fc.record(Object.fromEntries(fields.map(([n, p]) => [n, p.values])), {
        requiredKeys: [],
        noNullPrototype: true,
      }),
    };
  });
}

const freeForm: JsonSchema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
const freeValues = fc.dictionary(
  fc.constantFrom(...names),
  fc.oneof(
    scalar,
    fc.array(scalar, { maxLength: 2 }),
    fc.dictionary(fc.constantFrom(...names), scalar, { noNullPrototype: true }),
  ),
  { noNullPrototype: true },
);

function mapOf(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.dictionary(fc.constantFrom(...names), values, { maxKeys: 3, noNullPrototype: true });
}

function setOf(listType: 'set' | 'atomic'): TypedValues {
  return {
    schema: { type: 'array', items: text, 'x-kubernetes-list-type': listType },
    values: fc.uniqueArray(scalar, { maxLength: 3 }),
  };
}

const maps = ({ schema, values }: TypedValues): TypedValues => ({
  schema: { type: 'object', additionalProperties: schema },
  values: mapOf(values),
});

/** Items with two keys, of which one has a default. */
function keyedLists({ schema, values }: TypedValues): TypedValues {
  const item = fc.record(
    { key: scalar, side: fc.constantFrom('left', 'right'), value: values },
    { requiredKeys: ['key'], noNullPrototype: true },
  );
  return {
    schema: {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['key', 'side'],
      items: {
        type: 'object',
        required: ['key'],
        properties: { key: text, side: { type: 'string', default: 'left' }, value: schema },
      },
    },
    values: fc.uniqueArray(item, { maxLength: 3, selector: (i) => `${i.key}/${i.side ?? 'left'}` }),
  };
}
