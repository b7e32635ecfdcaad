import type { KubeObject, ManagedFieldsEntry } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import { difference, differenceBelow, type FieldSet, isEmpty, isEqual, union } from './field-set.ts';
import {
  type ManagerIdentity,
  type ManagerRecord,
  ownable,
  readManagers,
  sameManager,
  writeManagers,
} from './managers.ts';
import { compare } from './typed-value.ts';

export interface TrackedWrite {
  /** `undefined` for a new object. */
  readonly before: KubeObject | undefined;
  readonly after: KubeObject;
  readonly schema: StructuralSchema;
  readonly manager: ManagerIdentity;
  readonly now: string;
}

/**
 * `managedFields` after a write other than apply: the writer owns what it changed, others lose it. What a client sends
 * as managedFields counts (kubectl moves ownership that way), else what the object had.
 */
export function trackUpdate({ before, after, schema, manager, now }: TrackedWrite): ManagedFieldsEntry[] {
  const known = readManagers(after) ?? (before && readManagers(before)) ?? [];
  const changes = compare(before ?? {}, after, schema);
  const set = ownable(changes.set);
  const removed = ownable(changes.removed);
  if (isEmpty(set) && isEmpty(removed)) return writeManagers(known);

  const records: ManagerRecord[] = [];
  let isKnown = false;
  for (const record of known) {
    const isWriter = sameManager(record.identity, manager);
    const remaining = differenceBelow(record.set, removed);
    const owned = isWriter ? union(remaining, set) : difference(remaining, set);
    records.push(touch(record, owned, isWriter ? now : record.time));
    isKnown ||= isWriter;
  }
  if (!isKnown) records.push({ identity: manager, time: now, set });
  return writeManagers(records);
}

/** The time of an entry is that of its last change. */
function touch(record: ManagerRecord, set: FieldSet, time: string | undefined): ManagerRecord {
  return isEqual(record.set, set) ? record : { identity: record.identity, time, set };
}
