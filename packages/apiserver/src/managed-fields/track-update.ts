import { isSameJson, type KubeObject, type ManagedFieldsEntry } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import { compare } from './compare.ts';
import { difference, isEmpty, union } from './field-set.ts';
import {
  foldAncient,
  type ManagerIdentity,
  type ManagerRecord,
  readManagers,
  readSentManagers,
  sameManager,
  unowned,
  withoutManagers,
  writeManagers,
} from './managers.ts';

export interface TrackedWrite {
  /** `undefined` for a new object. */
  readonly before: KubeObject | undefined;
  /** With what the client says of managedFields, if anything. */
  readonly after: KubeObject;
  readonly schema: StructuralSchema;
  readonly manager: ManagerIdentity;
  readonly now: string;
}

/**
 * `managedFields` after a write other than apply: the writer owns what it set, others lose it; what is gone is owned
 * by nobody. What a client sends as managedFields counts (kubectl moves ownership that way), else what the object had.
 * Of an object without managers nothing is tracked until somebody applies: a client asked to forget them.
 */
export function trackUpdate(write: TrackedWrite): ManagedFieldsEntry[] | undefined {
  const { before, after, schema, manager, now } = write;
  const known = managersBefore(write);
  if (before && known.length === 0) return undefined;
  const { set, removed } = compare(before ? withoutManagers(before) : {}, withoutManagers(after), schema);
  const own = difference(set, unowned);
  let isKnown = false;
  const records = known.map((record): ManagerRecord => {
    const remaining = difference(record.set, removed);
    if (!sameManager(record.identity, manager)) return { ...record, set: difference(remaining, set) };
    isKnown = true;
    return isEmpty(own)
      ? { ...record, set: remaining }
      : { ...record, time: now, set: union(remaining, own) };
  });
  if (!isKnown) records.push({ identity: manager, time: now, set: own });
  return writeManagers(foldAncient(records));
}

function managersBefore({ before, after, schema, manager }: TrackedWrite): ManagerRecord[] {
  const live = before?.metadata.managedFields;
  const sent = after.metadata.managedFields;
  const isOfInterest = manager.subresource === undefined && !isSameJson(sent, live);
  const managers = isOfInterest ? readSentManagers(sent) : { kind: 'nothing' as const };
  if (managers.kind === 'reset') return [];
  if (managers.kind === 'nothing') return before ? readManagers(before, schema) : [];
  const metadata = { ...after.metadata, managedFields: [...managers.entries] };
  const records = readManagers({ ...after, metadata }, schema);
  // Of several entries of one identity the last counts.
  return records.filter((r, i) => !records.some((o, j) => j > i && sameManager(r.identity, o.identity)));
}
