import { isSameJson, type KubeObject } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import { conflictError, findConflicts, withoutAllowed } from './apply-conflicts.ts';
import { compare } from './compare.ts';
import { difference, emptySet, isEmpty, union } from './field-set.ts';
import { kubectlManager, ownedByLastApplied, withLastApplied } from './last-applied.ts';
import {
  type ManagerIdentity,
  type ManagerRecord,
  readManagers,
  sameManager,
  unowned,
  withManagers,
  withoutManagers,
  writeManagers,
} from './managers.ts';
import { merge } from './merge.ts';
import { removeDisowned } from './remove-items.ts';
import { fieldSetOf } from './typed-value.ts';

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

/** Owns what an object had before anybody's fields were tracked. */
const formerManager = 'before-first-apply';

/**
 * Server-side apply (KEP-555): returns the merged object with its new managedFields. The manager owns exactly what it
 * applied; what it applied before and no longer does is removed, unless somebody else owns it. Throws `Conflict` that
 * names the other managers. The configuration has passed `checkConfiguration`.
 */
export function applyConfiguration(request: ApplyRequest): KubeObject {
  const { schema, manager, now, applied } = request;
  const live = withoutManagers(request.live);
  const known = managersOf(request);
  const previous = known.find((r) => sameManager(r.identity, manager));
  const others = known.filter((r) => r !== previous);

  const appliedSet = fieldSetOf(applied, schema);
  const set = difference(appliedSet, unowned);
  const merged = merge(live, applied, schema) as KubeObject;
  const isAllKept = !previous || isEmpty(difference(previous.set, set));
  const result = isAllKept
    ? merged
    : (removeDisowned(merged, schema, {
        gone: previous.set,
        kept: others.map((r) => r.set).reduce(union, appliedSet),
      }) as KubeObject);

  const changes = compare(live, result, schema);
  const conflicts = findConflicts(others, changes.set);
  if (conflicts.length > 0 && !request.force) refuseConflicts(request, conflicts);

  const isChanged = !isSameJson(live, result);
  const records: ManagerRecord[] = others.map((record) => ({
    ...record,
    set: difference(difference(record.set, changes.set), changes.removed),
  }));
  records.push({ identity: manager, time: isChanged ? now : previous?.time, set });
  const complete = manager.manager === kubectlManager ? withLastApplied(result, applied) : result;
  return withManagers(complete, writeManagers(records));
}

function managersOf({ live, schema, manager, now }: ApplyRequest): ManagerRecord[] {
  const known = readManagers(live, schema);
  if (known.length > 0 || live.metadata.uid === undefined) return known;
  const { set } = compare({}, withoutManagers(live), schema);
  const identity: ManagerIdentity = { ...manager, manager: formerManager, operation: 'Update' };
  return [{ identity, time: now, set: difference(set, unowned) }];
}

function refuseConflicts(
  { live, schema, manager }: ApplyRequest,
  conflicts: ReturnType<typeof findConflicts>,
): void {
  const allowed = manager.manager === kubectlManager ? ownedByLastApplied(live, schema) : emptySet;
  const refused = withoutAllowed(conflicts, allowed);
  if (refused.length > 0) throw conflictError(refused);
}
