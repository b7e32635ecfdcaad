import { badRequest, isObject, type KubeObject } from '@selvedge/api';
import type { SchemaType, StructuralSchema } from '../schema/structural-schema.ts';
import { describeElement, fieldElement } from './path-element.ts';
import { elementsOf, schemaOfField, shapeOf } from './typed-value.ts';

/** Enough to see what is wrong. */
const maxFaults = 20;

/**
 * Refuses with `BadRequest` what cannot be owned field by field: fields that the schema does not have, values of
 * another type, lists where one identity stands twice, items without identity.
 */
export function checkConfiguration(applied: KubeObject, schema: StructuralSchema): void {
  const faults: string[] = [];
  check(applied, { schema, path: '', faults });
  if (faults.length === 0) return;
  const { apiVersion, kind, metadata } = applied;
  const object = `${metadata.namespace ?? ''}/${metadata.name}; ${apiVersion}, Kind=${kind}`;
  const list = faults.length === 1 ? ` ${faults[0]}` : ` errors:\n${faults.map((f) => `  ${f}`).join('\n')}`;
  throw badRequest(`failed to create typed patch object (${object}):${list}`);
}

interface Visit {
  readonly schema: StructuralSchema | undefined;
  readonly path: string;
  readonly faults: string[];
}

function check(value: unknown, { schema, path, faults }: Visit): void {
  if (!schema || faults.length >= maxFaults) return;
  if (isObject(value)) {
    for (const [name, child] of Object.entries(value)) {
      const childPath = path + describeElement(fieldElement(name));
      const known = schemaOfField(schema, name);
      if (known) check(child, { schema: known, path: childPath, faults });
      else if (isClosed(schema)) faults.push(`${childPath}: field not declared in schema`);
    }
  } else if (Array.isArray(value)) checkItems(value, { schema, path, faults });
  const expected = value === null || hasType(value, schema) ? undefined : expectations[schema.type];
  if (expected) faults.push(`${path}: expected ${expected}, got ${nameOfType(value)}`);
}

const expectations: Readonly<Record<SchemaType, string | undefined>> = {
  object: 'map',
  array: 'list',
  string: 'string',
  integer: 'numeric (int or float)',
  number: 'numeric (int or float)',
  boolean: 'boolean',
  any: undefined,
};

function hasType(value: unknown, { type }: StructuralSchema): boolean {
  if (type === 'object') return isObject(value);
  if (type === 'array') return Array.isArray(value);
  return type === 'any' || typeof value === (type === 'integer' ? 'number' : type);
}

const nameOfType = (value: unknown): string =>
  Array.isArray(value) ? 'list' : isObject(value) ? 'map' : typeof value;

const isClosed = (schema: StructuralSchema): boolean =>
  schema.type === 'object' && !schema.preserveUnknownFields && schema.properties.size > 0;

function checkItems(items: readonly unknown[], { schema, path, faults }: Visit): void {
  if (!schema) return;
  if (shapeOf(items, schema) === 'whole') {
    for (const [i, item] of items.entries())
      check(item, { schema: schema.items, path: `${path}[${i}]`, faults });
    return;
  }
  const isMap = schema.listType === 'map';
  const seen = new Set<string>();
  for (const [i, element] of elementsOf(items, schema).entries()) {
    const item = items[i];
    const fault = isMap ? faultOfKeyedItem(item, element, schema) : faultOfSetItem(item);
    if (fault !== undefined) {
      faults.push(`${path}: element ${i}: ${fault}`);
      return;
    }
    if (seen.has(element)) faults.push(`${path}: duplicate entries for key ${describeElement(element)}`);
    seen.add(element);
    check(item, { schema: schema.items, path: path + describeElement(element), faults });
  }
}

function faultOfKeyedItem(item: unknown, element: string, schema: StructuralSchema): string | undefined {
  if (item === null) return 'associative list with keys may not have a null element';
  if (!isObject(item)) return 'associative list with keys may not have non-map elements';
  if (element !== 'k:{}') return undefined;
  const keys = schema.listMapKeys.map((key) => JSON.stringify(key)).join(' ');
  return `associative list with keys has an element that omits all key fields [${keys}] (and doesn't have default values for any key fields)`;
}

function faultOfSetItem(item: unknown): string | undefined {
  if (item === null) return "associative list without keys has an element that's an explicit null";
  if (Array.isArray(item)) return 'not supported: associative list with lists as elements';
  return isObject(item) ? "associative list without keys has an element that's a map type" : undefined;
}
