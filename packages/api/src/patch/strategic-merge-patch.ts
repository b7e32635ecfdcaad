import { badRequest } from '../status-error.ts';
import { fieldOf, isObject, type JsonObject } from '../json-value.ts';
import type { MergeSchema } from './merge-schema.ts';
import { checkElementOrder, mergeLists, orderElements } from './merge-lists.ts';

const directive = '$patch';
const retainKeys = '$retainKeys';
const setElementOrder = '$setElementOrder/';
const deleteFromPrimitiveList = '$deleteFromPrimitiveList/';

/**
 * Kubernetes' strategic merge patch: as a merge patch, but lists with an identity are merged item by item, and
 * directives (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…`) are obeyed. Which lists have
 * an identity says the schema. Neither argument is changed. Throws `BadRequest` for what is no such patch.
 */
export function strategicMergePatch(
  target: JsonObject,
  patch: JsonObject,
  schema: MergeSchema | undefined,
): JsonObject {
  if (Object.hasOwn(patch, directive)) return obeyDirective(patch);
  const result = retainedPart(target, patch);
  const rest = { ...patch };
  delete rest[retainKeys];
  for (const name of Object.keys(patch)) {
    if (name.startsWith(setElementOrder)) mergeInOrder(result, rest, { name, schema });
  }
  for (const [name, value] of Object.entries(rest)) {
    if (name.startsWith(deleteFromPrimitiveList)) deleteItems(result, name, value);
    else mergeField(result, { name, value, schema: schemaOf(schema, name) });
  }
  return result;
}

function obeyDirective(patch: JsonObject): JsonObject {
  const { [directive]: what, ...others } = patch;
  if (what === 'replace') return others;
  if (what === 'delete') return {};
  throw badRequest(`unknown patch type: ${JSON.stringify(what)}; $patch must be replace or delete`);
}

const schemaOf = (schema: MergeSchema | undefined, name: string): MergeSchema | undefined =>
  schema?.properties.get(name) ?? schema?.additionalProperties;

interface Field {
  readonly name: string;
  readonly value: unknown;
  readonly schema: MergeSchema | undefined;
}

function mergeField(result: JsonObject, { name, value, schema }: Field): void {
  const present = fieldOf(result, name);
  if (value === null) {
    delete result[name];
  } else if (isObject(present) && isObject(value)) {
    result[name] = strategicMergePatch(present, value, schema);
  } else if (Array.isArray(present) && Array.isArray(value)) {
    const identity = identityOf(schema);
    result[name] = identity ? mergeListsOf(present, value, { identity, schema }) : value;
  } else {
    const plain = withoutDirectives(value);
    if (plain === undefined) delete result[name];
    else result[name] = plain;
  }
}

/** How items of a merged list are known: by one key, or (a set) by themselves. */
function identityOf(schema: MergeSchema | undefined): { key: string | undefined } | undefined {
  if (schema?.listType === 'set') return { key: undefined };
  // Strategic merge knows lists with one key only.
  return schema?.listType === 'map' ? { key: schema.listMapKeys[0] } : undefined;
}

function mergeListsOf(
  present: readonly unknown[],
  patch: readonly unknown[],
  list: { identity: { key: string | undefined }; schema: MergeSchema | undefined },
): unknown[] {
  const { key } = list.identity;
  const merge = (item: JsonObject, change: JsonObject) =>
    strategicMergePatch(item, change, list.schema?.items);
  return mergeLists(present, patch, { key, merge });
}

/** A value that is new: what it says of merging means nothing, nulls name nothing. `undefined`: nothing remains. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives).filter((item) => item !== undefined);
  if (!isObject(value)) return value;
  if (Object.hasOwn(value, directive)) return undefined;
  const plain = Object.entries(value)
    .filter(([, child]) => child !== null)
    .map(([name, child]) => [name, withoutDirectives(child)] as const);
  return Object.fromEntries(plain.filter(([, child]) => child !== undefined));
}

/** `$retainKeys`: fields that the list does not name go; the patch must not set others. */
function retainedPart(target: JsonObject, patch: JsonObject): JsonObject {
  const keys = patch[retainKeys];
  if (keys === undefined) return { ...target };
  const retained = new Set(listOf(keys, 'invalid patch format of retainKeys'));
  for (const [name, value] of Object.entries(patch)) {
    const isDirective = [retainKeys, setElementOrder, deleteFromPrimitiveList].some((d) =>
      name.startsWith(d),
    );
    if (value !== null && !isDirective && !retained.has(name)) {
      throw badRequest(`invalid patch format of retainKeys: it does not name ${name}`);
    }
  }
  return Object.fromEntries(Object.entries(target).filter(([name]) => retained.has(name)));
}

/** `$setElementOrder/list`: merges the list, and brings the items that the order names into that order. */
function mergeInOrder(
  result: JsonObject,
  rest: JsonObject,
  { name, schema }: Pick<Field, 'name' | 'schema'>,
): void {
  const field = name.slice(setElementOrder.length);
  const order = listOf(rest[name], 'invalid patch format of setElementOrder list');
  delete rest[name];
  const present = fieldOf(result, field);
  const patch = fieldOf(rest, field);
  if (present === undefined && patch === undefined) return;
  const presentItems = listOf(present ?? [], `${field} is no list`);
  const patchItems = listOf(patch ?? [], `${field} is no list`);
  const fieldSchema = schemaOf(schema, field);
  const identity = identityOf(fieldSchema) ?? { key: undefined };
  checkElementOrder(patchItems, order, identity.key);
  delete rest[field];
  if (patch !== undefined) mergeField(result, { name: field, value: patch, schema: fieldSchema });
  const merged = listOf(result[field], `${field} is no list`);
  result[field] = orderElements(merged, { key: identity.key, order, serverOrder: presentItems });
}

/** `$deleteFromPrimitiveList/list` */
function deleteItems(result: JsonObject, name: string, items: unknown): void {
  const field = name.slice(deleteFromPrimitiveList.length);
  const gone = new Set(listOf(items, 'invalid patch format of primitive list'));
  const list = fieldOf(result, field);
  if (Array.isArray(list)) result[field] = list.filter((item) => !gone.has(item));
}

function listOf(value: unknown, fault: string): unknown[] {
  if (!Array.isArray(value)) throw badRequest(fault);
  return value;
}
