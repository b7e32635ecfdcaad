import { copyJson, isObject } from '@selvedge/api';
import type { StructuralSchema } from './structural-schema.ts';

/** Fills absent fields with their defaults, in place; a default inside an absent object does not make the object. */
export function setDefaults(value: unknown, schema: StructuralSchema): void {
  if (!hasDefaults(schema)) return;
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) setDefaults(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, property] of schema.properties) {
    if (property.default !== undefined && !Object.hasOwn(value, name)) {
      value[name] = copyJson(property.default);
    }
    if (hasDefaults(property) && Object.hasOwn(value, name)) setDefaults(value[name], property);
  }
  const values = schema.additionalProperties;
  if (!values || !hasDefaults(values)) return;
  for (const name of Object.keys(value)) {
    if (!schema.properties.has(name)) setDefaults(value[name], values);
  }
}

const known = new WeakMap<StructuralSchema, boolean>();

/** Whether any field below has a default: most of an object need not be walked through. */
function hasDefaults(schema: StructuralSchema): boolean {
  const answer = known.get(schema);
  if (answer !== undefined) return answer;
  const { properties, items, additionalProperties } = schema;
  const parts = [...properties.values(), items, additionalProperties].filter((part) => part !== undefined);
  const has = parts.some((part) => part.default !== undefined || hasDefaults(part));
  known.set(schema, has);
  return has;
}
