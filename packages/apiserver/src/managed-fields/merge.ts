import { fieldOf, type JsonObject } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import type { PathElement } from './path-element.ts';
import { elementsOf, fieldsOf, itemsOf, schemaOfField, shapeOf } from './typed-value.ts';

/**
 * Lays an applied configuration over the live value: fields and items are united, indivisible values are replaced.
 * Neither argument is changed.
 */
export function merge(live: unknown, applied: unknown, schema: StructuralSchema | undefined): unknown {
  const shape = shapeOf(applied, schema);
  if (shape === 'whole' || shape !== shapeOf(live, schema)) return applied;
  if (shape === 'items') {
    const [liveItems, appliedItems] = [itemsOf(live), itemsOf(applied)];
    if (!schema || liveItems.length === 0) return applied;
    return appliedItems.length === 0 ? live : mergeItems(liveItems, appliedItems, schema);
  }
  if (Object.keys(fieldsOf(live)).length === 0) return applied;
  const result: JsonObject = { ...fieldsOf(live) };
  for (const [name, value] of Object.entries(fieldsOf(applied))) {
    const before = fieldOf(result, name);
    result[name] = before === undefined ? value : merge(before, value, schemaOfField(schema, name));
  }
  return result;
}

/**
 * Applied items come in their own order; items of others stay behind the item that they followed. An applied item
 * takes the place of all live ones of its identity.
 */
function mergeItems(
  live: readonly unknown[],
  applied: readonly unknown[],
  schema: StructuralSchema,
): unknown[] {
  const liveElements = elementsOf(live, schema);
  const appliedElements = elementsOf(applied, schema);
  const wanted = new Set(appliedElements);
  const present = new Map<PathElement, unknown>();
  // Twins are not merged with, they are replaced.
  for (const [i, element] of liveElements.entries())
    present.set(element, present.has(element) ? null : live[i]);
  const shared = appliedElements.filter((element) => present.has(element));
  const merged = new Set<PathElement>();
  const result: unknown[] = [];
  let nextShared = 0;

  const takeApplied = (place: number, element: PathElement) => {
    const item = applied[place];
    result.push(present.has(element) ? merge(present.get(element), item, schema.items) : item);
    merged.add(element);
    if (shared[nextShared] === element) nextShared++;
  };
  let l = 0;
  let a = 0;
  while (l < live.length || a < applied.length) {
    const ofLive = liveElements[l];
    const ofApplied = appliedElements[a];
    const isShared = ofLive !== undefined && wanted.has(ofLive);
    const isLater = nextShared < shared.length && shared[nextShared] !== ofLive;
    if (isShared && ofApplied !== undefined && ofLive !== ofApplied && isLater) {
      // Its turn comes in the order that was applied.
      l++;
      continue;
    }
    if (ofLive !== undefined && !isShared) {
      result.push(live[l]);
      l++;
      continue;
    }
    if (ofLive !== undefined && (ofLive === ofApplied || merged.has(ofLive))) l++;
    if (ofApplied !== undefined) {
      takeApplied(a, ofApplied);
      a++;
    }
  }
  return result;
}
