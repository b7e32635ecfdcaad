import { isDeepStrictEqual } from 'node:util';
import { fieldOf, isObject, type JsonObject } from '../schema/json-value.ts';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import {
  emptySet,
  type FieldSet,
  fieldElement,
  isEmpty,
  keyElement,
  leaf,
  valueElement,
} from './field-set.ts';

/**
 * How field ownership sees a value: an object of fields, a list whose items have an identity, or one indivisible
 * value.
 */
export type Shape = 'fields' | 'items' | 'atomic';

export function shapeOf(value: unknown, schema: StructuralSchema | undefined): Shape {
  if (isObject(value)) return schema?.atomicMap ? 'atomic' : 'fields';
  if (Array.isArray(value) && schema && schema.listType !== 'atomic') return 'items';
  return 'atomic';
}

export function schemaOfField(
  schema: StructuralSchema | undefined,
  name: string,
): StructuralSchema | undefined {
  return schema?.properties.get(name) ?? schema?.additionalProperties;
}

/** Identity of an item of a keyed list or a set. */
export function itemElement(item: unknown, schema: StructuralSchema): string {
  if (schema.listType === 'set') return valueElement(item);
  const object: JsonObject = isObject(item) ? item : {};
  const keys = schema.listMapKeys.map((key): [string, unknown] => [
    key,
    fieldOf(object, key) ?? schema.items?.properties.get(key)?.default,
  ]);
  return keyElement(Object.fromEntries(keys));
}

/** Every leaf, every item with an identity, every key of a map: what a manager owns that sends this value. */
export function fieldSetOf(value: unknown, schema: StructuralSchema | undefined): FieldSet {
  const set = emptySet();
  const shape = shapeOf(value, schema);
  if (shape === 'atomic') set.member = true;
  if (shape === 'fields') {
    for (const [name, child] of Object.entries(value as JsonObject)) {
      const childSet = fieldSetOf(child, schemaOfField(schema, name));
      const isMapKey = !schema?.properties.has(name);
      if (isMapKey || isEmptyContainer(child)) childSet.member = true;
      if (!isEmpty(childSet)) set.children.set(fieldElement(name), childSet);
    }
  }
  if (shape === 'items' && schema) {
    for (const item of value as unknown[]) {
      const childSet = fieldSetOf(item, schema.items);
      childSet.member = true;
      set.children.set(itemElement(item, schema), childSet);
    }
  }
  return set;
}

const isEmptyContainer = (value: unknown): boolean =>
  Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0;

export interface Changes {
  /** Paths that are new, or have another value. */
  readonly set: FieldSet;
  /** Paths that are gone. */
  readonly removed: FieldSet;
}

/** What turned `before` into `after`. */
export function compare(before: unknown, after: unknown, schema: StructuralSchema | undefined): Changes {
  const shape = shapeOf(after, schema);
  if (before === undefined) return { set: withMember(fieldSetOf(after, schema), after), removed: emptySet() };
  if (shape !== shapeOf(before, schema) || shape === 'atomic') {
    return { set: isDeepStrictEqual(before, after) ? emptySet() : leaf(), removed: emptySet() };
  }
  const old = childrenOf(before, schema);
  const now = childrenOf(after, schema);
  const changes: Changes = { set: emptySet(), removed: emptySet() };
  for (const [element, child] of now) {
    const previous = old.get(element);
    const below = compare(previous?.value, child.value, child.schema);
    if (!previous && (child.ownable || isEmptyContainer(child.value))) below.set.member = true;
    if (!isEmpty(below.set)) changes.set.children.set(element, below.set);
    if (!isEmpty(below.removed)) changes.removed.children.set(element, below.removed);
  }
  for (const [element, child] of old) {
    if (!now.has(element))
      changes.removed.children.set(element, withMember(fieldSetOf(child.value, child.schema), true));
  }
  return changes;
}

function withMember(set: FieldSet, when: unknown): FieldSet {
  if (when === true || isEmptyContainer(when)) set.member = true;
  return set;
}

export interface Child {
  readonly value: unknown;
  readonly schema: StructuralSchema | undefined;
  /** The path itself can be owned: a key of a map, an item of a list. */
  readonly ownable: boolean;
}

/** Parts of an object or of a list with identities, by path element. */
export function childrenOf(value: unknown, schema: StructuralSchema | undefined): Map<string, Child> {
  if (isObject(value)) {
    return new Map(
      Object.entries(value).map(([name, child]) => [
        fieldElement(name),
        { value: child, schema: schemaOfField(schema, name), ownable: !schema?.properties.has(name) },
      ]),
    );
  }
  if (!Array.isArray(value) || !schema) return new Map();
  return new Map(
    value.map((item) => [itemElement(item, schema), { value: item, schema: schema.items, ownable: true }]),
  );
}
