import { fieldOf, isSameJson, type JsonObject } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import { emptySet, type FieldSet, leaf, type NewFieldSet, self } from './field-set.ts';
import { fieldElement, type PathElement } from './path-element.ts';
import { elementsOf, everyPathOf, fieldsOf, itemsOf, schemaOfField, shapeOf } from './typed-value.ts';

export interface Changes {
  /** Paths that are new, or have another value. */
  readonly set: FieldSet;
  /** Paths that are gone. */
  readonly removed: FieldSet;
}

/** What turned `before` into `after`. Paths of new and gone objects and lists are in it, not only those below. */
export function compare(before: JsonObject, after: JsonObject, schema: StructuralSchema): Changes {
  const { set, removed } = compareFields(before, after, schema) ?? unchanged;
  return { set: set ?? emptySet, removed: removed ?? emptySet };
}

interface Difference {
  readonly set?: FieldSet | undefined;
  readonly removed?: FieldSet | undefined;
}

const unchanged: Difference = {};

/** `undefined` as a value: not there. As an answer: no difference. */
function compareValues(
  before: unknown,
  after: unknown,
  schema: StructuralSchema | undefined,
): Difference | undefined {
  if (before === after) return undefined;
  if (before === undefined) return { set: everyPathOf(after, schema) };
  if (after === undefined) return { removed: everyPathOf(before, schema) };
  const shape = shapeOf(before, schema);
  if (shape !== shapeOf(after, schema)) {
    return { set: everyPathOf(after, schema), removed: belowOf(everyPathOf(before, schema)) };
  }
  if (shape === 'whole' || (isHollow(before) && isHollow(after))) {
    return isSameJson(before, after) ? undefined : { set: leaf };
  }
  if (shape === 'fields') return compareFields(fieldsOf(before), fieldsOf(after), schema);
  return schema && compareItems(itemsOf(before), itemsOf(after), schema);
}

/** Without the path itself, which is still there. */
function belowOf(node: FieldSet): FieldSet | undefined {
  const { [self]: _, ...below } = node;
  return Object.keys(below).length === 0 ? undefined : below;
}

/** Null, or an object or list with nothing in it. */
function isHollow(value: unknown): boolean {
  for (const _ in value as object) return false;
  return true;
}

/** Collects the differences of the parts of one object or list. */
class Parts {
  #set: NewFieldSet | undefined;
  #removed: NewFieldSet | undefined;

  add(element: PathElement, { set, removed }: Difference): void {
    if (set) (this.#set ??= {})[element] = set;
    if (removed) (this.#removed ??= {})[element] = removed;
  }

  get difference(): Difference | undefined {
    return this.#set || this.#removed ? { set: this.#set, removed: this.#removed } : undefined;
  }
}

function compareFields(
  before: JsonObject,
  after: JsonObject,
  schema: StructuralSchema | undefined,
): Difference | undefined {
  const parts = new Parts();
  for (const name in after) {
    const child = schemaOfField(schema, name);
    const difference = compareValues(
      fieldOf(before, name) ?? absent(before, name, child),
      after[name],
      child,
    );
    if (difference) parts.add(fieldElement(name), difference);
  }
  for (const name in before) {
    if (Object.hasOwn(after, name)) continue;
    const child = schemaOfField(schema, name);
    const difference = compareValues(before[name], child?.zero, child);
    if (difference) parts.add(fieldElement(name), difference);
  }
  return parts.difference;
}

/** What stands for a field that `before` does not have; null is had. */
function absent(before: JsonObject, name: string, schema: StructuralSchema | undefined): unknown {
  if (Object.hasOwn(before, name)) return before[name];
  return schema?.zero;
}

function compareItems(
  before: readonly unknown[],
  after: readonly unknown[],
  schema: StructuralSchema,
): Difference | undefined {
  const former = elementsOf(before, schema);
  const present = elementsOf(after, schema);
  if (isSameList(former, present) && new Set(present).size === present.length) {
    const parts = new Parts();
    for (let i = 0; i < present.length; i++) {
      const difference = compareValues(before[i], after[i], schema.items);
      if (difference) parts.add(present[i] as PathElement, difference);
    }
    return parts.difference;
  }
  return compareMoved(groupItems(before, former), groupItems(after, present), schema);
}

function isSameList(a: readonly PathElement[], b: readonly PathElement[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

type ItemsByElement = ReadonlyMap<PathElement, readonly unknown[]>;

function compareMoved(
  former: ItemsByElement,
  present: ItemsByElement,
  schema: StructuralSchema,
): Difference | undefined {
  const parts = new Parts();
  for (const [element, items] of present) {
    const difference = compareTwins(former.get(element) ?? [], items, schema.items);
    if (difference) parts.add(element, difference);
  }
  for (const [element, items] of former) {
    if (present.has(element)) continue;
    const difference = compareTwins(items, [], schema.items);
    if (difference) parts.add(element, difference);
  }
  return parts.difference;
}

function groupItems(items: readonly unknown[], elements: readonly PathElement[]): ItemsByElement {
  const found = new Map<PathElement, unknown[]>();
  for (const [i, element] of elements.entries()) {
    const twins = found.get(element);
    if (twins) twins.push(items[i]);
    else found.set(element, [items[i]]);
  }
  return found;
}

/** Items of one identity. Twins, which a client may have written in spite of the schema, are one indivisible value. */
function compareTwins(
  before: readonly unknown[],
  after: readonly unknown[],
  schema: StructuralSchema | undefined,
): Difference | undefined {
  if (before.length <= 1 && after.length <= 1) return compareValues(before[0], after[0], schema);
  if (before.length > 1 && after.length > 1) return isSameJson(before, after) ? undefined : { set: leaf };
  if (before.length > 1) {
    const set = after.length === 0 ? undefined : everyPathOf(after[0], schema);
    return { set, removed: leaf };
  }
  return { set: leaf, removed: before.length === 0 ? undefined : everyPathOf(before[0], schema) };
}
