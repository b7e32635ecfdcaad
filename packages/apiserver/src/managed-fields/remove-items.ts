import { isObject, type JsonObject } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import {
  asMember,
  difference,
  type FieldSet,
  intersection,
  isEmpty,
  isMember,
  type NewFieldSet,
  self,
  union,
} from './field-set.ts';
import { fieldElement } from './path-element.ts';
import { elementsOf, fieldSetOf, schemaOfField, shapeOf } from './typed-value.ts';

/**
 * Removes what a manager owned and owns no more: a path goes when nobody in `kept` owns it or something below it. What
 * stands below a path that goes, goes with it, owned by nobody as it is.
 */
export function removeDisowned(
  object: JsonObject,
  schema: StructuralSchema,
  { gone, kept }: { gone: FieldSet; kept: FieldSet },
): JsonObject {
  const last = withNamedFields(gone, schema);
  const all = withNamedFields(fieldSetOf(object, schema), schema);
  const remaining = (removed: FieldSet) =>
    withNamedFields(fieldSetOf(removePaths(object, removed, schema), schema), schema);
  // What went with its parent comes back where somebody owns it ...
  const owned = union(remaining(last), withNamedFields(kept, schema));
  const unowned = difference(all, owned);
  // ... and where it was not the manager's to remove.
  const disowned = intersection(difference(all, remaining(unowned)), last);
  return isEmpty(disowned) ? object : (removePaths(object, disowned, schema) as JsonObject);
}

/**
 * Adds the fields on the way to a member: a field of a type is owned where something below it is. Keys of maps and
 * items of lists are members themselves or are not.
 */
function withNamedFields(set: FieldSet, schema: StructuralSchema | undefined): FieldSet {
  const result: NewFieldSet = {};
  for (const [element, node] of Object.entries(set)) {
    if (element === self || isEmpty(node)) result[element] = node;
    else if (!element.startsWith('f:')) result[element] = withNamedFields(node, schema?.items);
    else {
      const name = element.slice(2);
      const below = withNamedFields(node, schemaOfField(schema, name));
      result[element] = schema?.properties.has(name) ? asMember(below) : below;
    }
  }
  return result;
}

/** A copy without the paths of a set. What is emptied so stays, empty. */
export function removePaths(value: unknown, set: FieldSet, schema: StructuralSchema | undefined): unknown {
  const shape = shapeOf(value, schema);
  if (shape === 'fields' && isObject(value)) {
    const result: JsonObject = {};
    for (const [name, child] of Object.entries(value)) {
      const node = set[fieldElement(name)];
      if (node === undefined) result[name] = child;
      else if (!isMember(node)) result[name] = removePaths(child, node, schemaOfField(schema, name));
    }
    return result;
  }
  if (shape !== 'items' || !Array.isArray(value) || !schema) return value;
  const elements = elementsOf(value, schema);
  return value.flatMap((item, i) => {
    const node = set[elements[i] as string];
    if (node === undefined) return [item];
    return isMember(node) ? [] : [removePaths(item, node, schema.items)];
  });
}
