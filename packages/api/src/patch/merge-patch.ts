import { fieldOf, isObject, type JsonObject } from '../json-value.ts';

/** RFC 7396. Neither argument is changed. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(fieldOf(result, name), value);
  }
  return result;
}
