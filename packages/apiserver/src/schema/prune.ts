import { isObject, type JsonObject } from '@selvedge/api';
import type { StructuralSchema } from './structural-schema.ts';

/** How Kubernetes reads an object: its own kinds into Go structs, custom resources as they are but for metadata. */
export type Reading = 'built-in' | 'custom';

/**
 * Removes in place what the schema does not know, and what is no value: nulls where null means nothing, and of Go
 * structs empty lists and empty objects too. Returns the paths of the unknown fields.
 */
export function prune(value: unknown, schema: StructuralSchema, reading: Reading = 'custom'): string[] {
  const unknown: string[] = [];
  pruneValue(value, { schema, path: '', unknown, reading, isStruct: reading === 'built-in' });
  return unknown;
}

interface Visit {
  readonly schema: StructuralSchema;
  readonly path: string;
  readonly unknown: string[];
  readonly reading: Reading;
  /** Kubernetes reads it into a Go struct. */
  readonly isStruct: boolean;
}

function pruneValue(value: unknown, visit: Visit): void {
  const { schema, path } = visit;
  if (Array.isArray(value)) {
    const items = schema.items;
    if (items) {
      for (const [i, item] of value.entries())
        pruneValue(item, { ...visit, schema: items, path: `${path}[${i}]` });
    }
  } else if (isObject(value) && (schema.type === 'object' || schema.type === 'any')) {
    pruneObject(value, visit);
  }
}

function pruneObject(object: JsonObject, visit: Visit): void {
  const { schema, path, unknown, reading } = visit;
  for (const name of Object.keys(object)) {
    const known = schema.properties.get(name);
    const property = known ?? schema.additionalProperties;
    if (property) {
      const value = object[name];
      const isStruct = visit.isStruct || (path === '' && name === 'metadata');
      if (value === null) pruneNull(object, name, { isMapValue: !known, property, isStruct });
      else if (typeof value === 'object') {
        // Nothing is to be pruned of a scalar: no path is made for it.
        const child = known ? join(path, name) : `${path}[${name}]`;
        pruneValue(value, { schema: property, path: child, unknown, reading, isStruct });
      }
      if (isStruct && known && isEmpty(object[name], known) && !staysEmpty(visit, name, known)) {
        delete object[name];
      }
    } else if (!schema.preserveUnknownFields) {
      unknown.push(join(path, name));
      delete object[name];
    }
  }
}

interface NullField {
  /** A key of a map stays, with an empty value. */
  readonly isMapValue: boolean;
  readonly property: StructuralSchema;
  readonly isStruct: boolean;
}

function pruneNull(object: JsonObject, name: string, { isMapValue, property, isStruct }: NullField): void {
  if (property.nullable || property.type === 'any') return;
  if (isStruct && isMapValue && property.type === 'string') object[name] = '';
  else delete object[name];
}

/**
 * Paths where null stands for nothing, no default takes its place, and no struct swallows it. Sent with a plain write
 * Kubernetes drops it; an applied configuration cannot mean it.
 */
export function findNulls(value: unknown, schema: StructuralSchema | undefined, path = ''): string[] {
  if (!schema || path === 'metadata') return [];
  if (Array.isArray(value)) return value.flatMap((item, i) => findNulls(item, schema.items, `${path}[${i}]`));
  if (isObject(value)) {
    return Object.entries(value).flatMap(([name, child]) =>
      findNulls(child, schema.properties.get(name) ?? schema.additionalProperties, join(path, name)),
    );
  }
  const isNothing =
    value === null && !schema.nullable && schema.type !== 'any' && schema.default === undefined;
  return isNothing ? [path] : [];
}

/** An empty list of managers says that nobody is to own anything; in custom resources Kubernetes does not see it. */
function staysEmpty({ schema, path, reading }: Visit, name: string, property: StructuralSchema): boolean {
  if (path === 'metadata' && name === 'managedFields') return reading === 'built-in';
  return property.zero !== undefined || schema.required.includes(name);
}

function isEmpty(value: unknown, { type }: StructuralSchema): boolean {
  if (type === 'array') return Array.isArray(value) && value.length === 0;
  return type === 'object' && isObject(value) && Object.keys(value).length === 0;
}

/** `spec` + `rollout` = `spec.rollout`. */
export const join = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);
