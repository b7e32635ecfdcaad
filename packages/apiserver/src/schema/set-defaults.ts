import { copyJson, isObject } from './json-value.ts';
import type { StructuralSchema } from './structural-schema.ts';

/** Fills absent fields with their defaults, in place; a default inside an absent object does not make the object. */
export function setDefaults(value: unknown, schema: StructuralSchema): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) setDefaults(item, schema.items);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, property] of schema.properties) {
    if (!Object.hasOwn(value, name) && property.default !== undefined)
      value[name] = copyJson(property.default);
    if (Object.hasOwn(value, name)) setDefaults(value[name], property);
  }
  const values = schema.additionalProperties;
  if (!values) return;
  for (const name of Object.keys(value)) {
    if (!schema.properties.has(name)) setDefaults(value[name], values);
  }
}
