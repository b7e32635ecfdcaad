import { fieldOf, isObject, type JsonObject } from '../schema/json-value.ts';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import { at, type FieldSet, fieldElement, isEmpty, without } from './field-set.ts';
import { itemElement, schemaOfField, shapeOf } from './typed-value.ts';

/**
 * Lays an applied configuration over the live value: fields and items are united, indivisible values are replaced.
 * Neither argument is changed.
 */
export function merge(live: unknown, applied: unknown, schema: StructuralSchema | undefined): unknown {
  const shape = shapeOf(applied, schema);
  if (shape !== shapeOf(live, schema) || shape === 'atomic') return applied;
  if (shape === 'items' && schema) return mergeItems(live as unknown[], applied as unknown[], schema);
  const result: JsonObject = { ...(live as JsonObject) };
  for (const [name, value] of Object.entries(applied as JsonObject)) {
    const before = fieldOf(result, name);
    result[name] = before === undefined ? value : merge(before, value, schemaOfField(schema, name));
  }
  return result;
}

/** Applied items come in their own order; items of others keep their place between them. */
function mergeItems(
  live: readonly unknown[],
  applied: readonly unknown[],
  schema: StructuralSchema,
): unknown[] {
  const liveItems = new Map(live.map((item) => [itemElement(item, schema), item]));
  const appliedItems = new Map(applied.map((item) => [itemElement(item, schema), item]));
  const result = new Map<string, unknown>();
  const liveOrder = [...liveItems.keys()];
  const appliedOrder = [...appliedItems.keys()];
  while (liveOrder.length > 0 || appliedOrder.length > 0) {
    const next = liveOrder[0];
    if (next !== undefined && (!appliedItems.has(next) || result.has(next))) {
      liveOrder.shift();
      if (!result.has(next)) result.set(next, liveItems.get(next));
      continue;
    }
    const element = appliedOrder.shift();
    if (element === undefined) break;
    const item = appliedItems.get(element);
    result.set(element, liveItems.has(element) ? merge(liveItems.get(element), item, schema.items) : item);
  }
  return [...result.values()];
}

/**
 * Removes the fields of `gone` from a value, except where `kept` still owns the field or something below it. A
 * container that this empties goes too, unless somebody owns it.
 */
export function removeFields(
  value: unknown,
  schema: StructuralSchema | undefined,
  fields: { gone: FieldSet; kept: FieldSet },
): unknown {
  const { gone, kept } = fields;
  if (gone.children.size === 0) return value;
  const below = (element: string) => ({ gone: at(gone, [element]), kept: at(kept, [element]) });
  if (isObject(value)) {
    const result: JsonObject = {};
    for (const [name, child] of Object.entries(value)) {
      const remaining = removeChild(child, schemaOfField(schema, name), below(fieldElement(name)));
      if (remaining !== undefined) result[name] = remaining;
    }
    return result;
  }
  if (!Array.isArray(value) || !schema || schema.listType === 'atomic') return value;
  return value
    .map((item) => {
      const { gone: goneBelow, kept: keptBelow } = below(itemElement(item, schema));
      // An item that stays, stays with its keys.
      const keys = schema.listMapKeys.map(fieldElement);
      const goneButKeys = keys.reduce((set, key) => without(set, [key]), goneBelow);
      return removeChild(item, schema.items, { gone: goneButKeys, kept: keptBelow });
    })
    .filter((item) => item !== undefined);
}

function removeChild(
  child: unknown,
  schema: StructuralSchema | undefined,
  fields: { gone: FieldSet; kept: FieldSet },
): unknown {
  if (isEmpty(fields.gone)) return child;
  const isKept = !isEmpty(fields.kept);
  if (fields.gone.member && !isKept) return undefined;
  const remaining = removeFields(child, schema, fields);
  const emptied = isContainer(remaining) && sizeOf(remaining) === 0 && sizeOf(child) > 0;
  return emptied && !isKept ? undefined : remaining;
}

const isContainer = (value: unknown): value is object => typeof value === 'object' && value !== null;
const sizeOf = (value: unknown): number => (isContainer(value) ? Object.keys(value).length : 0);
