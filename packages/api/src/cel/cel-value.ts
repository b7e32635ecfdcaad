import { type CelSchema, isObject } from './cel-schema.ts';

/** Which parts of a value a rule reads: all of it, or only these fields. */
export type Read = 'all' | ReadonlyMap<string, Read>;

/**
 * A value as CEL sees it, by its schema: integers are `int` (BigInt), times are `timestamp`, maps are maps whatever their
 * keys are called. Only what the rule reads is converted.
 */
export function toCel(value: unknown, schema: CelSchema | undefined, read: Read): unknown {
  if (typeof value === 'number') return isInteger(value, schema) ? BigInt(value) : value;
  if (typeof value === 'string') return schema?.format === 'date-time' ? new Date(value) : value;
  if (Array.isArray(value)) return value.map((item) => toCel(item, schema?.items, 'all'));
  if (!isObject(value)) return value;
  if (schema === undefined || schema.properties.size === 0) {
    const values = schema?.additionalProperties;
    return new Map(Object.entries(value).map(([key, item]) => [key, toCel(item, values, 'all')]));
  }
  const converted: Record<string, unknown> = {};
  for (const { name, escaped, property } of fieldsOf(schema)) {
    const part = read === 'all' ? 'all' : read.get(escaped);
    if (part === undefined || !Object.hasOwn(value, name)) continue;
    converted[escaped] = toCel(value[name], property, part);
  }
  return converted;
}

interface Field {
  readonly name: string;
  readonly escaped: string;
  readonly property: CelSchema;
}

const known = new WeakMap<CelSchema, readonly Field[]>();

function fieldsOf(schema: CelSchema): readonly Field[] {
  const answer = known.get(schema);
  if (answer) return answer;
  const fields = [...schema.properties].map(([name, property]) => ({
    name,
    escaped: celName(name),
    property,
  }));
  known.set(schema, fields);
  return fields;
}

function isInteger(value: number, schema: CelSchema | undefined): boolean {
  if (!Number.isSafeInteger(value)) return false;
  if (schema?.type === 'number') return false;
  return schema?.type !== 'any' || !schema.alternatives?.some((a) => a.type === 'number');
}

/** Words that CEL keeps for itself. */
const words = new Set(
  (
    'true false null in as break const continue else for function if import let loop package namespace return var ' +
    'void while'
  ).split(' '),
);
const escapes: Readonly<Record<string, string>> = {
  __: '__underscores__',
  '.': '__dot__',
  '-': '__dash__',
  '/': '__slash__',
};

/** A field's name as rules write it; Kubernetes' rules for names that are no CEL identifiers. */
export function celName(name: string): string {
  if (/^[A-Za-z]\w*$/.test(name) && !name.includes('__')) return words.has(name) ? `__${name}__` : name;
  return name.replace(/__|[./-]/g, (text) => escapes[text] ?? text);
}
