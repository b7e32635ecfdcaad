import { type FieldError, type KubeObject, StatusError } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import {
  describePath,
  difference,
  emptySet,
  type FieldSet,
  intersection,
  isEqual,
  members,
  union,
} from './field-set.ts';
import {
  type ManagerIdentity,
  type ManagerRecord,
  ownable,
  readManagers,
  sameManager,
  writeManagers,
} from './managers.ts';
import { merge, removeFields } from './merge.ts';
import { compare, fieldSetOf } from './typed-value.ts';

export interface ApplyRequest {
  /** The object as it is; for a new one, nothing but its apiVersion, kind and name. */
  readonly live: KubeObject;
  /** What the manager wants to be so; it says nothing of other fields. */
  readonly applied: KubeObject;
  readonly schema: StructuralSchema;
  readonly manager: ManagerIdentity;
  /** Takes fields that others set to another value, instead of failing. */
  readonly force: boolean;
  readonly now: string;
}

/**
 * Server-side apply (KEP-555): returns the merged object with its new managedFields. The manager owns exactly what it
 * applied; what it applied before and no longer does is removed, unless somebody else owns it. Throws `Conflict` that
 * names the other managers.
 */
export function applyConfiguration(request: ApplyRequest): KubeObject {
  const { live, schema, manager, now } = request;
  const { managedFields: _, ...metadata } = request.applied.metadata;
  const applied: KubeObject = { ...request.applied, metadata };
  const appliedSet = ownable(fieldSetOf(applied, schema));
  const merged = merge(live, applied, schema) as KubeObject;
  const changed = ownable(compare(live, merged, schema).set);

  const known = readManagers(live) ?? [];
  const previous = known.find((r) => sameManager(r.identity, manager));
  const conflicts = findConflicts(
    known.filter((r) => r !== previous),
    changed,
  );
  if (conflicts.length > 0 && !request.force) throw conflictError(conflicts);

  const others = known
    .filter((r) => r !== previous)
    .map((record): ManagerRecord => {
      const lost = conflicts.find((c) => c.record === record);
      return lost ? { ...record, time: now, set: difference(record.set, lost.set) } : record;
    });
  const gone = difference(previous?.set ?? emptySet(), appliedSet);
  const kept = others.map((r) => r.set).reduce(union, appliedSet);
  const result = removeFields(merged, schema, { gone, kept }) as KubeObject;
  const time = previous && isEqual(previous.set, appliedSet) ? previous.time : now;
  const records = [...others, { identity: manager, time, set: appliedSet }];
  return {
    ...result,
    metadata: { ...result.metadata, managedFields: writeManagers(inOrder(records, known)) },
  };
}

/** Entries keep their places, so that applying the same again changes nothing. */
function inOrder(records: readonly ManagerRecord[], known: readonly ManagerRecord[]): ManagerRecord[] {
  const place = (record: ManagerRecord) => {
    const index = known.findIndex((r) => sameManager(r.identity, record.identity));
    return index < 0 ? known.length : index;
  };
  return records.toSorted((a, b) => place(a) - place(b));
}

interface ManagerConflict {
  readonly record: ManagerRecord;
  readonly set: FieldSet;
}

function findConflicts(others: readonly ManagerRecord[], changed: FieldSet): ManagerConflict[] {
  return others
    .map((record) => ({ record, set: intersection(record.set, changed) }))
    .filter(({ set }) => !members(set).next().done);
}

function conflictError(conflicts: readonly ManagerConflict[]): StatusError {
  const causes = conflicts.flatMap(({ record, set }) =>
    [...members(set)].map(
      (path): FieldError => ({
        reason: 'FieldManagerConflict',
        field: describePath(path),
        message: `conflict with ${describeManager(record)}`,
      }),
    ),
  );
  const list = causes.map((c) => `${c.message}: ${c.field}`).join('; ');
  const count = `${causes.length} ${causes.length === 1 ? 'conflict' : 'conflicts'}`;
  return new StatusError('Conflict', `Apply failed with ${count}: ${list}`, { details: { causes } });
}

function describeManager({ identity, time }: ManagerRecord): string {
  const through = identity.subresource ? ` with subresource "${identity.subresource}"` : '';
  const at = identity.operation === 'Update' && time ? ` at ${time}` : '';
  return `"${identity.manager}"${through} using ${identity.apiVersion}${at}`;
}
