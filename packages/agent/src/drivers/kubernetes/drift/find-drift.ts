import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '@selvedge/api';
import type { PlannedObject } from '../release/planned-object.ts';
import {
  fieldIn,
  type FieldSet,
  findItem,
  findOwnFields,
  followsItems,
  isLeaf,
  itemIn,
  itemKey,
} from './field-set.ts';
import { fieldOf, isObject, pointerTo } from './json-pointer.ts';

/** Not followed by field ownership: they say which object it is, or are the cluster's to write. */
const unowned = new Set([
  '/apiVersion',
  '/kind',
  '/status',
  '/metadata/name',
  '/metadata/namespace',
  '/metadata/uid',
]);

/**
 * Planned fields (JSON pointers into the planned object) that are not ours any more. An API server takes a field from us when somebody
 * changes or removes it, so while this is empty nothing that we set has changed, whatever notation it has there. Not empty: perhaps
 * something has; `driftFields` tells. A whole entry that was lost gives `['']`.
 */
export function lostFields(
  planned: PlannedObject,
  live: Pick<KubeObject, 'metadata'>,
  left: ReadonlySet<string>,
): string[] {
  const own = findOwnFields(live, planned.object.apiVersion);
  if (!own) return [''];
  const lost: string[] = [];
  const visit = (value: unknown, set: FieldSet | undefined, pointer: string): void => {
    if (value === null || value === undefined || left.has(pointer) || unowned.has(pointer)) return;
    if (isObject(value) && (pointer === '' || pointer === '/metadata')) {
      for (const [name, child] of Object.entries(value)) {
        visit(child, set && fieldIn(set, name), pointerTo(pointer, name));
      }
      return;
    }
    if (!set) lost.push(pointer);
    else if (isLeaf(set) && !Object.hasOwn(set, '.')) return;
    else if (isObject(value)) {
      for (const [name, child] of Object.entries(value)) {
        visit(child, fieldIn(set, name), pointerTo(pointer, name));
      }
    } else if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) visit(item, itemIn(set, item), pointerTo(pointer, index));
    }
  };
  visit(planned.object, own, '');
  return lost;
}

/**
 * Planned fields (JSON pointers into the planned object) whose value is not what applying it again would make it: `applied` is the answer
 * to a server-side dry run, so notation, defaults and what webhooks set make no difference.
 */
export function driftFields(
  planned: PlannedObject,
  { live, applied, left }: { live: KubeObject; applied: KubeObject; left: ReadonlySet<string> },
): string[] {
  const own = findOwnFields(applied, planned.object.apiVersion) ?? {};
  const drift: string[] = [];
  const visit = (value: unknown, place: DriftPlace): void => {
    const { set, wanted, found, pointer } = place;
    if (value === null || value === undefined || left.has(pointer) || unowned.has(pointer) || !set) return;
    const isFollowed = isObject(value) ? !isLeaf(set) : Array.isArray(value) && followsItems(set);
    const canBeParted = isObject(value) ? isObject(wanted) && isObject(found) : Array.isArray(found);
    if (!isFollowed || !canBeParted) {
      if (!isDeepStrictEqual(wanted, found)) drift.push(pointer);
    } else if (isObject(value)) {
      for (const [name, child] of Object.entries(value)) {
        visit(child, {
          set: fieldIn(set, name),
          wanted: fieldOf(wanted, name),
          found: fieldOf(found, name),
          pointer: pointerTo(pointer, name),
        });
      }
    } else if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) {
        const key = itemKey(set, item);
        if (key === undefined) continue;
        visit(item, {
          set: itemIn(set, item),
          wanted: findItem(wanted, key),
          found: findItem(found, key),
          pointer: pointerTo(pointer, index),
        });
      }
    }
  };
  // The entry has no fields above it, and names neither of these by itself.
  for (const [name, child] of Object.entries(planned.object)) {
    const part = (object: KubeObject): unknown => fieldOf(object, name);
    visit(child, { set: fieldIn(own, name), wanted: part(applied), found: part(live), pointer: `/${name}` });
  }
  return drift;
}

interface DriftPlace {
  readonly set: FieldSet | undefined;
  readonly wanted: unknown;
  readonly found: unknown;
  readonly pointer: string;
}
