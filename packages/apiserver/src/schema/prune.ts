import { isObject, type JsonObject } from './json-value.ts';
import type { StructuralSchema } from './structural-schema.ts';

/**
 * Removes in place what the schema does not know, and nulls where null is no value (they mean "absent"). Returns the
 * paths of the unknown fields.
 */
export function prune(value: unknown, schema: StructuralSchema): string[] {
  const unknown: string[] = [];
  pruneValue(value, { schema, path: '', unknown });
  return unknown;
}

interface Visit {
  readonly schema: StructuralSchema;
  readonly path: string;
  readonly unknown: string[];
}

function pruneValue(value: unknown, visit: Visit): void {
  const { schema, path, unknown } = visit;
  if (Array.isArray(value)) {
    const items = schema.items;
    if (items) {
      for (const [i, item] of value.entries())
        pruneValue(item, { schema: items, path: `${path}[${i}]`, unknown });
    }
  } else if (isObject(value) && (schema.type === 'object' || schema.type === 'any')) {
    pruneObject(value, visit);
  }
}

function pruneObject(object: JsonObject, { schema, path, unknown }: Visit): void {
  for (const name of Object.keys(object)) {
    const known = schema.properties.get(name);
    const property = known ?? schema.additionalProperties;
    const child = known || !schema.additionalProperties ? join(path, name) : `${path}[${name}]`;
    if (property) {
      if (object[name] === null && !property.nullable && property.type !== 'any') delete object[name];
      else pruneValue(object[name], { schema: property, path: child, unknown });
    } else if (!schema.preserveUnknownFields) {
      unknown.push(child);
      delete object[name];
    }
  }
}

/** `spec` + `rollout` = `spec.rollout`. */
export const join = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);
