import { badRequest } from '@selvedge/api';
import { isDeepStrictEqual } from 'node:util';
import { fieldOf, isObject, type JsonObject } from '../schema/json-value.ts';
import type { StructuralSchema } from '../schema/structural-schema.ts';

const setElementOrder = '$setElementOrder/';
const deleteFromPrimitiveList = '$deleteFromPrimitiveList/';

/**
 * Kubernetes' strategic merge patch: as a merge patch, but lists with an identity are merged item by item, and
 * directives (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…`) are obeyed. Which lists have
 * an identity says the schema. Neither argument is changed.
 */
export function strategicMergePatch(
  target: unknown,
  patch: unknown,
  schema: StructuralSchema | undefined,
): unknown {
  if (!isObject(patch)) return patch;
  const directive = patch['$patch'];
  if (directive === 'delete') return undefined;
  if (directive === 'replace') return withoutDirectives(patch);
  if (directive !== undefined && directive !== 'merge')
    throw badRequest('$patch must be merge, replace or delete');
  const result: JsonObject = retainedPart(isObject(target) ? target : {}, patch['$retainKeys']);
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith('$')) continue;
    const property = schema?.properties.get(name) ?? schema?.additionalProperties;
    const merged = value === null ? undefined : mergeField(fieldOf(result, name), value, property);
    if (merged === undefined) delete result[name];
    else result[name] = merged;
  }
  obeyListDirectives(result, patch, schema);
  return result;
}

function mergeField(target: unknown, value: unknown, schema: StructuralSchema | undefined): unknown {
  if (!Array.isArray(value)) return strategicMergePatch(target, value, schema);
  const present: unknown[] = Array.isArray(target) ? target : [];
  if (schema?.listType === 'set') return [...present, ...value.filter((v) => !present.includes(v))];
  const key = mergeKeyOf(schema);
  return key === undefined ? value : mergeItems(present, value, { key, schema: schema?.items });
}

/** Strategic merge knows lists with one key only. */
const mergeKeyOf = (schema: StructuralSchema | undefined): string | undefined =>
  schema?.listType === 'map' ? schema.listMapKeys[0] : undefined;

interface ItemMerge {
  readonly key: string;
  readonly schema: StructuralSchema | undefined;
}

function mergeItems(
  present: readonly unknown[],
  patch: readonly unknown[],
  { key, schema }: ItemMerge,
): unknown[] {
  if (
    patch.some((item) => isObject(item) && item['$patch'] === 'replace' && fieldOf(item, key) === undefined)
  ) {
    return patch.filter((item) => !(isObject(item) && item['$patch'] === 'replace'));
  }
  let result = [...present];
  for (const item of patch) {
    const identity = isObject(item) ? fieldOf(item, key) : undefined;
    if (identity === undefined) throw badRequest(`an item of a merged list needs its key "${key}"`);
    const index = result.findIndex(
      (other) => isObject(other) && isDeepStrictEqual(fieldOf(other, key), identity),
    );
    const merged = strategicMergePatch(index < 0 ? {} : result[index], item, schema);
    if (merged === undefined) result = result.filter((_, i) => i !== index);
    else if (index < 0) result.push(merged);
    else result[index] = merged;
  }
  return result;
}

function obeyListDirectives(
  result: JsonObject,
  patch: JsonObject,
  schema: StructuralSchema | undefined,
): void {
  for (const [directive, value] of Object.entries(patch)) {
    if (directive.startsWith(deleteFromPrimitiveList)) {
      const name = directive.slice(deleteFromPrimitiveList.length);
      const list = fieldOf(result, name);
      const gone = listOf(value, directive);
      if (Array.isArray(list)) result[name] = list.filter((item) => !gone.includes(item));
    } else if (directive.startsWith(setElementOrder)) {
      const name = directive.slice(setElementOrder.length);
      const list = fieldOf(result, name);
      const key = mergeKeyOf(schema?.properties.get(name));
      if (Array.isArray(list)) result[name] = inOrder(list, listOf(value, directive), key);
    }
  }
}

function listOf(value: unknown, directive: string): unknown[] {
  if (!Array.isArray(value)) throw badRequest(`${directive} must be a list`);
  return value;
}

/** Items that the order does not name keep their places behind the item that they followed. */
function inOrder(list: readonly unknown[], order: readonly unknown[], key: string | undefined): unknown[] {
  const identify = (item: unknown) =>
    JSON.stringify(key !== undefined && isObject(item) ? fieldOf(item, key) : item);
  const places = new Map(order.map((item, place) => [identify(item), place]));
  let last = -1;
  const placed = list.map((item, index) => {
    last = places.get(identify(item)) ?? last;
    return { item, place: last, index, isNamed: places.has(identify(item)) };
  });
  placed.sort((a, b) => a.place - b.place || Number(b.isNamed) - Number(a.isNamed) || a.index - b.index);
  return placed.map(({ item }) => item);
}

function retainedPart(target: JsonObject, keys: unknown): JsonObject {
  if (!Array.isArray(keys)) return { ...target };
  return Object.fromEntries(Object.entries(target).filter(([name]) => keys.includes(name)));
}

function withoutDirectives(patch: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(patch).filter(([name]) => !name.startsWith('$')));
}
