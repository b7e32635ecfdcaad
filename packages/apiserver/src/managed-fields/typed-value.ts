import { fieldOf, isObject, type JsonObject } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import { asMember, emptySet, type FieldSet, leaf, type NewFieldSet, self } from './field-set.ts';
import { fieldElement, keyElementStart, type PathElement, valueElement, withKey } from './path-element.ts';

/**
 * How field ownership sees a value: an object of fields, a list whose items have an identity, or one indivisible
 * value.
 */
export type Shape = 'fields' | 'items' | 'whole';

/** Without a schema (below `x-kubernetes-preserve-unknown-fields`) objects have fields and lists are indivisible. */
export function shapeOf(value: unknown, schema: StructuralSchema | undefined): Shape {
  if (Array.isArray(value)) return schema === undefined || schema.listType === 'atomic' ? 'whole' : 'items';
  if (isObject(value)) return schema?.atomicMap ? 'whole' : 'fields';
  // Null stands for an empty object or list of the type that is meant.
  if (value !== null) return 'whole';
  if (schema?.type === 'array') return schema.listType === 'atomic' ? 'whole' : 'items';
  return schema === undefined || schema.type === 'object' || schema.type === 'any'
    ? shapeOf({}, schema)
    : 'whole';
}

/** The fields of an object; none of null. */
export const fieldsOf = (value: unknown): JsonObject => (isObject(value) ? value : {});
/** The items of a list; none of null. */
export const itemsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export function schemaOfField(
  schema: StructuralSchema | undefined,
  name: string,
): StructuralSchema | undefined {
  return schema?.properties.get(name) ?? schema?.additionalProperties;
}

/** Identities of the items of a keyed list or a set, in their order. Absent keys have their defaults. */
export function elementsOf(items: readonly unknown[], schema: StructuralSchema): PathElement[] {
  if (schema.listType === 'set') return items.map(valueElement);
  const keys = keysOf(schema);
  return items.map((item) => {
    let element = keyElementStart;
    for (const { name, quotedName, fallback } of keys) {
      const value = (isObject(item) ? fieldOf(item, name) : undefined) ?? fallback;
      if (value !== undefined) element = withKey(element, quotedName, value);
    }
    return `${element}}`;
  });
}

interface Key {
  readonly name: string;
  readonly quotedName: string;
  readonly fallback: unknown;
}

const keysBySchema = new WeakMap<StructuralSchema, readonly Key[]>();

/** The keys of a keyed list in the order of an element. */
function keysOf(schema: StructuralSchema): readonly Key[] {
  const known = keysBySchema.get(schema);
  if (known) return known;
  const keys = schema.listMapKeys.toSorted().map((name) => {
    const fallback = schema.items?.properties.get(name)?.default;
    return { name, quotedName: JSON.stringify(name), fallback };
  });
  keysBySchema.set(schema, keys);
  return keys;
}

/**
 * What a manager owns that sends this value: every leaf, every item with an identity, every key of a map. Items that
 * stand twice are owned as a whole.
 */
export function fieldSetOf(object: unknown, schema: StructuralSchema): FieldSet {
  return ownedBelow(object, schema) ?? emptySet;
}

function ownedBelow(value: unknown, schema: StructuralSchema | undefined): FieldSet | undefined {
  const node: NewFieldSet = {};
  let isOwned = false;
  if (shapeOf(value, schema) === 'fields') {
    const fields = fieldsOf(value);
    for (const name of Object.keys(fields).sort()) {
      const child = fields[name];
      let owned = ownedBy(child, schemaOfField(schema, name));
      if (!schema?.properties.has(name)) owned = asMember(owned);
      if (owned === undefined) continue;
      node[fieldElement(name)] = owned;
      isOwned = true;
    }
  } else if (schema) {
    const items = itemsOf(value);
    const elements = elementsOf(items, schema);
    const single = singleElements(elements);
    for (const [i, element] of elements.entries()) {
      node[element] = single.has(element) ? asMember(ownedBelowItem(items[i], schema.items)) : leaf;
      isOwned = true;
    }
  }
  return isOwned ? node : undefined;
}

function ownedBy(value: unknown, schema: StructuralSchema | undefined): FieldSet | undefined {
  if (value === null || shapeOf(value, schema) === 'whole') return leaf;
  const below = ownedBelow(value, schema);
  return below ?? (isObject(value) && Object.keys(value).length === 0 ? leaf : undefined);
}

const ownedBelowItem = (item: unknown, schema: StructuralSchema | undefined) =>
  shapeOf(item, schema) === 'whole' ? undefined : ownedBelow(item, schema);

/** Those that stand but once. */
export function singleElements(elements: readonly PathElement[]): Set<PathElement> {
  const single = new Set(elements);
  if (single.size === elements.length) return single;
  const seen = new Set<PathElement>();
  for (const element of elements) {
    if (seen.has(element)) single.delete(element);
    seen.add(element);
  }
  return single;
}

/** Every path of a value that comes or goes: leaves, items, and the objects and lists on the way too. */
export function everyPathOf(value: unknown, schema: StructuralSchema | undefined): FieldSet {
  const shape = shapeOf(value, schema);
  if (shape === 'whole') return leaf;
  let node: NewFieldSet | undefined;
  if (shape === 'fields') {
    const fields = fieldsOf(value);
    for (const name of Object.keys(fields).sort()) {
      node ??= { [self]: leaf };
      node[fieldElement(name)] = everyPathOf(fields[name], schemaOfField(schema, name));
    }
  } else if (schema) {
    const items = itemsOf(value);
    const elements = elementsOf(items, schema);
    const single = singleElements(elements);
    for (const [i, element] of elements.entries()) {
      node ??= { [self]: leaf };
      node[element] = single.has(element) ? everyPathOf(items[i], schema.items) : leaf;
    }
  }
  return node ?? leaf;
}
