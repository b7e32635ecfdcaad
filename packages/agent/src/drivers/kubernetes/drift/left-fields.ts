import type { ApplyRules, KubeObject } from '@selvedge/api';
import type { ObjectRef, PlannedObject } from '../release/planned-object.ts';
import {
  fieldIn,
  type FieldSet,
  findItem,
  followsItems,
  isLeaf,
  isOurs,
  itemIn,
  itemKey,
  keysOf,
  managedFieldsOf,
} from './field-set.ts';
import { fieldOf, isObject, pointerParts, pointerTo } from './json-pointer.ts';

/** A field of a planned object that is not to be set, as it belongs to others. */
export interface LeftField {
  /** JSON pointer into the planned object. */
  readonly pointer: string;
  readonly because: 'IgnoreDifferences' | 'Autoscaler';
  /**
   * What is to be applied instead: the value that it has there. Absent: nothing, another manager holds it. Server-side apply takes
   * away what only we hold and no longer name, so such a field has to be named with the value that it has.
   */
  readonly keep?: unknown;
}

/** What `leftFields` has to know of an object. */
export interface LeaveRules extends Pick<ApplyRules, 'ignoreDifferences'> {
  /** A HorizontalPodAutoscaler, or another object with a scaleTargetRef, targets it. See `isAutoscaled`. */
  readonly isAutoscaled: boolean;
}

/**
 * Fields of `planned` that are left as they are in `live`: those in `ignoreDifferences`, and those that an autoscaler set through the
 * subresource `scale`. For an object that is there; one that is made gets all its fields.
 */
export function leftFields(live: KubeObject, planned: PlannedObject, rules: LeaveRules): LeftField[] {
  const entries = managedFieldsOf(live);
  const own = entries.filter(isOurs).map(({ fields }) => fields);
  const others = entries.filter((entry) => !isOurs(entry)).map(({ fields }) => fields);
  const left: LeftField[] = [];
  for (const pointer of ignoredPointers(planned.ref, rules)) {
    const found = resolve({ planned: planned.object, live, own, others, pointer: '' }, pointerParts(pointer));
    if (found) leaveBelow(found, left);
  }
  if (rules.isAutoscaled) {
    for (const pointer of scaledPointers(live, planned)) left.push({ pointer, because: 'Autoscaler' });
  }
  const byPointer = new Map(left.map((field) => [field.pointer, field]));
  return [...byPointer.values()];
}

/** Planned fields that somebody last set through the subresource `scale`: an autoscaler, or a person with `kubectl scale`. */
export function scaledPointers({ metadata }: Pick<KubeObject, 'metadata'>, planned: PlannedObject): string[] {
  const scalers = managedFieldsOf({ metadata }).filter(({ subresource }) => subresource === 'scale');
  return ownedLeaves(
    planned.object,
    scalers.map(({ fields }) => fields),
  );
}

/** Pointers of `ignoreDifferences` that are meant for this object; never its name, kind or namespace. */
export function ignoredPointers(
  ref: ObjectRef,
  { ignoreDifferences }: Pick<ApplyRules, 'ignoreDifferences'>,
): string[] {
  return (ignoreDifferences ?? [])
    .filter(
      (rule) =>
        rule.apiVersion === ref.apiVersion &&
        rule.kind === ref.kind &&
        (rule.namespace === undefined || rule.namespace === ref.namespace) &&
        (rule.name === undefined || rule.name === ref.name),
    )
    .flatMap(({ jsonPointers }) => jsonPointers)
    .filter((pointer) => !isIdentity(pointer));
}

const isIdentity = (pointer: string): boolean =>
  /^\/(apiVersion|kind|metadata|metadata\/(name|namespace|uid))$/.test(pointer);

/** The planned object as it is to be applied: without what belongs to others. */
export function leaveFields(object: KubeObject, left: readonly LeftField[]): KubeObject {
  if (left.length === 0) return object;
  const copy = structuredClone(object);
  // Items of lists by their index: those behind first.
  const parts = left.map((field) => ({ field, path: pointerParts(field.pointer) })).reverse();
  for (const { field, path } of parts) {
    const name = path.at(-1);
    const parent = path.slice(0, -1).reduce<unknown>(childOf, copy);
    if (name === undefined) continue;
    if (Array.isArray(parent)) {
      if (field.keep === undefined) parent.splice(Number(name), 1);
      else parent[Number(name)] = structuredClone(field.keep);
    } else if (isObject(parent)) {
      if (field.keep === undefined) delete (parent as Record<string, unknown>)[name];
      else (parent as Record<string, unknown>)[name] = structuredClone(field.keep);
    }
  }
  return copy;
}

function childOf(value: unknown, name: string): unknown {
  return Array.isArray(value) ? value[Number(name)] : fieldOf(value, name);
}

/** One place in the planned object, and the same place in the live one and in who owns what. */
interface Place {
  readonly planned: unknown;
  readonly live: unknown;
  readonly own: readonly FieldSet[];
  readonly others: readonly FieldSet[];
  readonly pointer: string;
  /** Of the item of a list: the fields by which it is known. */
  readonly keys?: readonly string[];
  /** It is one of these. */
  readonly isKey?: boolean;
}

/** Undefined: nothing is planned there. */
function resolve(place: Place, path: readonly string[]): Place | undefined {
  const [name, ...rest] = path;
  if (name === undefined) return place;
  const next = childPlaces(place).find(({ pointer }) => pointer === pointerTo(place.pointer, name));
  return next && resolve(next, rest);
}

function childPlaces(place: Place): Place[] {
  const { planned, live, own, others, pointer } = place;
  if (isObject(planned)) {
    return Object.entries(planned).map(([name, value]) => ({
      planned: value,
      live: fieldOf(live, name),
      own: below(own, (set) => fieldIn(set, name)),
      others: below(others, (set) => fieldIn(set, name)),
      pointer: pointerTo(pointer, name),
      isKey: place.keys?.includes(name) === true,
    }));
  }
  if (!Array.isArray(planned)) return [];
  const sets = [...own, ...others];
  const isFollowed = sets.some(followsItems);
  return planned.map((item: unknown, index) => {
    const key = sets.map((set) => itemKey(set, item)).find((found) => found !== undefined);
    // Of a list with one owner the items have no owners, only places.
    const plain = Array.isArray(live) ? (live as unknown[])[index] : undefined;
    return {
      planned: item,
      live: isFollowed ? (key === undefined ? undefined : findItem(live, key)) : plain,
      own: isFollowed ? below(own, (set) => itemIn(set, item)) : own,
      others: isFollowed ? below(others, (set) => itemIn(set, item)) : others,
      pointer: pointerTo(pointer, index),
      keys: Object.keys((key === undefined ? undefined : keysOf(key)) ?? {}),
    };
  });
}

/** What owns a thing as a whole owns what is in it. */
function below(sets: readonly FieldSet[], step: (set: FieldSet) => FieldSet | undefined): FieldSet[] {
  return sets
    .map((set) => (Object.keys(set).length === 0 ? set : step(set)))
    .filter((set) => set !== undefined);
}

function leaveBelow(place: Place, left: LeftField[]): void {
  const { planned, live, own, others, pointer } = place;
  if (place.isKey === true) return;
  const because = 'IgnoreDifferences';
  if (live === undefined) {
    left.push({ pointer, because });
  } else if ([...own, ...others].some((set) => !isLeaf(set)) && typeof planned === 'object') {
    for (const child of childPlaces(place)) leaveBelow(child, left);
  } else {
    const isOnlyOurs = own.length > 0 && others.length === 0;
    left.push(isOnlyOurs ? { pointer, because, keep: live } : { pointer, because });
  }
}

/** Pointers of the fields of `value` that one of these sets has. */
function ownedLeaves(value: unknown, sets: readonly FieldSet[], pointer = ''): string[] {
  if (sets.length === 0 || !isObject(value)) return [];
  return Object.entries(value).flatMap(([name, child]) => {
    const next = sets.map((set) => fieldIn(set, name)).filter((set) => set !== undefined);
    if (next.length === 0) return [];
    const here = pointerTo(pointer, name);
    return next.some(isLeaf) ? [here] : ownedLeaves(child, next, here);
  });
}
