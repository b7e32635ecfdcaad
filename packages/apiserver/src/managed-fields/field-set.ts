import { isObject, type JsonObject } from '../schema/json-value.ts';

/**
 * A set of field paths, as a tree. Keys of `children` are path elements as FieldsV1 writes them: `f:name` a field,
 * `k:{"key":"value"}` an item of a keyed list, `v:"value"` an item of a set.
 */
export interface FieldSet {
  /** The path that leads here is in the set. */
  member: boolean;
  readonly children: Map<string, FieldSet>;
}

export const emptySet = (): FieldSet => ({ member: false, children: new Map() });
export const leaf = (): FieldSet => ({ member: true, children: new Map() });

export const isEmpty = (set: FieldSet): boolean => !set.member && set.children.size === 0;

export function union(a: FieldSet, b: FieldSet): FieldSet {
  const children = new Map(a.children);
  for (const [element, child] of b.children) {
    const other = children.get(element);
    children.set(element, other ? union(other, child) : child);
  }
  return { member: a.member || b.member, children };
}

/** Members of `a` that are not in `b`. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return combine(a, a.member && !b.member, (element, child) => {
    const other = b.children.get(element);
    return other ? difference(child, other) : child;
  });
}

/** Members of both. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return combine(a, a.member && b.member, (element, child) => {
    const other = b.children.get(element);
    return other ? intersection(child, other) : emptySet();
  });
}

/** Members of `a` that are neither in `b` nor below a member of `b`. */
export function differenceBelow(a: FieldSet, b: FieldSet): FieldSet {
  if (b.member) return emptySet();
  return combine(a, a.member, (element, child) => {
    const other = b.children.get(element);
    return other ? differenceBelow(child, other) : child;
  });
}

/** A set with the children of `a`, each as `combineChild` makes it; empty ones are left out. */
function combine(
  a: FieldSet,
  member: boolean,
  combineChild: (element: string, child: FieldSet) => FieldSet,
): FieldSet {
  const children = new Map<string, FieldSet>();
  for (const [element, child] of a.children) {
    const combined = combineChild(element, child);
    if (!isEmpty(combined)) children.set(element, combined);
  }
  return { member, children };
}

export function isEqual(a: FieldSet, b: FieldSet): boolean {
  if (a.member !== b.member || a.children.size !== b.children.size) return false;
  for (const [element, child] of a.children) {
    const other = b.children.get(element);
    if (!other || !isEqual(child, other)) return false;
  }
  return true;
}

/** The sub-tree at a path; a new empty set when there is none. */
export function at(set: FieldSet, path: readonly string[]): FieldSet {
  let node: FieldSet | undefined = set;
  for (const element of path) node = node?.children.get(element);
  return node ?? emptySet();
}

/** A copy without the sub-tree at a path. */
export function without(set: FieldSet, path: readonly string[]): FieldSet {
  const [first, ...rest] = path;
  if (first === undefined) return emptySet();
  const child = set.children.get(first);
  if (!child) return set;
  const children = new Map(set.children);
  const remaining = without(child, rest);
  if (isEmpty(remaining)) children.delete(first);
  else children.set(first, remaining);
  return { member: set.member, children };
}

/** Paths of all members. */
export function* members(set: FieldSet, path: readonly string[] = []): Generator<readonly string[]> {
  if (set.member && path.length > 0) yield path;
  for (const [element, child] of set.children) yield* members(child, [...path, element]);
}

/** FieldsV1: `{}` is a member without children, `.` marks a member that has some. */
export function toFieldsV1(set: FieldSet): JsonObject {
  const fields: JsonObject = {};
  if (set.member && set.children.size > 0) fields['.'] = {};
  for (const element of [...set.children.keys()].sort()) {
    fields[element] = toFieldsV1(set.children.get(element) ?? emptySet());
  }
  return fields;
}

export function fromFieldsV1(fields: unknown): FieldSet {
  const set = readFields(fields);
  set.member = false;
  return set;
}

function readFields(fields: unknown): FieldSet {
  const set = emptySet();
  const entries = isObject(fields) ? Object.entries(fields) : [];
  for (const [element, child] of entries) {
    if (element === '.') set.member = true;
    else set.children.set(canonicalElement(element), readFields(child));
  }
  if (entries.length === 0) set.member = true;
  return set;
}

/** Other writers order the keys of `k:{…}` as they like. */
function canonicalElement(element: string): string {
  if (!element.startsWith('k:')) return element;
  const keys: unknown = JSON.parse(element.slice(2));
  return isObject(keys) ? keyElement(keys) : element;
}

export function keyElement(keys: JsonObject): string {
  return `k:${JSON.stringify(Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1))))}`;
}

export const fieldElement = (name: string): string => `f:${name}`;
export const valueElement = (value: unknown): string => `v:${JSON.stringify(value)}`;

/** For people: `.spec.waves[name="canary"].percent`. */
export function describePath(path: readonly string[]): string {
  return path
    .map((element) => {
      const text = element.slice(2);
      if (element.startsWith('f:')) return `.${text}`;
      if (element.startsWith('v:')) return `[=${text}]`;
      const keys = Object.entries(JSON.parse(text) as JsonObject);
      return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
    })
    .join('');
}
