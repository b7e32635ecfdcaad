import { isObject } from '@selvedge/api';
import { canonicalElement, type PathElement } from './path-element.ts';

/**
 * A set of field paths in the very form of FieldsV1: an object whose keys are path elements. A node without keys is a
 * member; one that has both members below and is a member itself holds `.` too. The root is no path: `{}` is the empty
 * set. Sets are never changed; results share parts with the arguments.
 */
export interface FieldSet {
  readonly [element: PathElement]: FieldSet;
}

/** A node under construction. */
export interface NewFieldSet {
  [element: PathElement]: FieldSet;
}

export const emptySet: FieldSet = Object.freeze({});
/** A member with nothing below. */
export const leaf: FieldSet = Object.freeze({});
export const self = '.';

function isLeaf(node: FieldSet): boolean {
  if (node === leaf) return true;
  for (const _ in node) return false;
  return true;
}

export const isEmpty = (set: FieldSet): boolean => isLeaf(set);
export const isMember = (node: FieldSet): boolean => node[self] !== undefined || isLeaf(node);

/** The node with itself as a member. */
export function asMember(node: FieldSet | undefined): FieldSet {
  if (node === undefined || isLeaf(node)) return leaf;
  return node[self] === undefined ? { [self]: leaf, ...node } : node;
}

/** A node that turned out to have no path in it is none, one that has only itself is a leaf. */
function settled(node: FieldSet): FieldSet | undefined {
  let count = 0;
  for (const element in node) {
    if (element !== self || ++count > 1) return node;
  }
  return count === 1 ? leaf : undefined;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isLeaf(b)) return a;
  return isLeaf(a) ? b : uniteChildren(a, b);
}

function uniteNodes(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  if (isLeaf(b)) return asMember(a);
  return isLeaf(a) ? asMember(b) : uniteChildren(a, b);
}

function uniteChildren(a: FieldSet, b: FieldSet): FieldSet {
  const result: NewFieldSet = { ...a };
  for (const element in b) {
    const other = b[element] as FieldSet;
    const own = a[element];
    result[element] = own === undefined ? other : uniteNodes(own, other);
  }
  return result;
}

/** Paths of `a` that are not in `b`. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return isLeaf(a) || isLeaf(b) ? a : (subtractChildren(a, b) ?? emptySet);
}

function subtract(a: FieldSet, b: FieldSet): FieldSet | undefined {
  if (isLeaf(a)) return isMember(b) ? undefined : a;
  if (!isLeaf(b)) return subtractChildren(a, b);
  if (a[self] === undefined) return a;
  const { [self]: _, ...others } = a;
  return others;
}

function subtractChildren(a: FieldSet, b: FieldSet): FieldSet | undefined {
  const changed = new Map<PathElement, FieldSet | undefined>();
  for (const element in b) {
    const own = a[element];
    if (own === undefined) continue;
    const remaining = subtract(own, b[element] as FieldSet);
    if (remaining !== own) changed.set(element, remaining);
  }
  if (changed.size === 0) return a;
  const result: NewFieldSet = {};
  for (const element in a) {
    const remaining = changed.has(element) ? changed.get(element) : a[element];
    if (remaining !== undefined) result[element] = remaining;
  }
  return settled(result);
}

/** Paths of both. */
export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return isLeaf(a) || isLeaf(b) ? emptySet : (intersectChildren(a, b) ?? emptySet);
}

function intersect(a: FieldSet, b: FieldSet): FieldSet | undefined {
  if (isLeaf(a)) return isMember(b) ? a : undefined;
  if (isLeaf(b)) return a[self] === undefined ? undefined : b;
  return intersectChildren(a, b);
}

function intersectChildren(a: FieldSet, b: FieldSet): FieldSet | undefined {
  const result: NewFieldSet = {};
  for (const element in a) {
    const other = b[element];
    const both = other === undefined ? undefined : intersect(a[element] as FieldSet, other);
    if (both !== undefined) result[element] = both;
  }
  return settled(result);
}

export function isEqual(a: FieldSet, b: FieldSet): boolean {
  if (a === b) return true;
  let count = 0;
  for (const element in a) {
    const other = b[element];
    if (other === undefined || !isEqual(a[element] as FieldSet, other)) return false;
    count++;
  }
  for (const _ in b) count--;
  return count === 0;
}

/** All paths: of each node first its members, then what is below them. */
export function* members(
  set: FieldSet,
  path: readonly PathElement[] = [],
): Generator<readonly PathElement[]> {
  const elements = Object.entries(set).filter(([element]) => element !== self);
  for (const [element, node] of elements) if (isMember(node)) yield [...path, element];
  for (const [element, node] of elements) yield* members(node, [...path, element]);
}

/** The set with the elements of every node in the order of their texts, as JSON from Kubernetes has its keys. */
export function inOrder(set: FieldSet): FieldSet {
  let isSorted = true;
  let previous = '';
  let changed: NewFieldSet | undefined;
  for (const element in set) {
    if (element < previous) isSorted = false;
    previous = element;
    const node = set[element] as FieldSet;
    const ordered = node === leaf ? leaf : inOrder(node);
    if (ordered !== node) (changed ??= { ...set })[element] = ordered;
  }
  const result = changed ?? set;
  if (isSorted) return result;
  const sorted: NewFieldSet = {};
  for (const element of Object.keys(result).sort()) sorted[element] = result[element] as FieldSet;
  return sorted;
}

/** Takes what another program wrote as `fieldsV1`. Throws a plain Error for what is none. */
export function readFieldsV1(fields: unknown): FieldSet {
  if (!isObject(fields)) throw new Error('fieldsV1 is an object');
  return readNode(fields) ?? emptySet;
}

/** `undefined`: nothing that is known is below. */
function readNode(fields: unknown): FieldSet | undefined {
  const result: NewFieldSet = {};
  for (const [element, below] of Object.entries(isObject(fields) ? fields : {})) {
    if (element === self) continue;
    const canonical = canonicalElement(element);
    if (canonical === undefined) continue;
    const node = readNode(below);
    const isItself = node === undefined || (isObject(below) && Object.hasOwn(below, self));
    result[canonical] = isItself ? asMember(node) : node;
  }
  return settled(result);
}
