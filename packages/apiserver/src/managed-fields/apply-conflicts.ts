import { type FieldError, StatusError } from '@selvedge/api';
import { difference, type FieldSet, intersection, isEmpty, members } from './field-set.ts';
import type { ManagerRecord } from './managers.ts';
import { compareTexts, describePath } from './path-element.ts';

/** Fields of another manager that an apply would change. */
export interface ApplyConflict {
  readonly record: ManagerRecord;
  readonly set: FieldSet;
}

export function findConflicts(others: readonly ManagerRecord[], changed: FieldSet): ApplyConflict[] {
  return others
    .map((record) => ({ record, set: intersection(record.set, changed) }))
    .filter(({ set }) => !isEmpty(set));
}

/** Leaves out what may be taken. */
export function withoutAllowed(conflicts: readonly ApplyConflict[], allowed: FieldSet): ApplyConflict[] {
  return conflicts
    .map(({ record, set }) => ({ record, set: difference(set, allowed) }))
    .filter(({ set }) => !isEmpty(set));
}

/** Names every manager and field, in Kubernetes' words. */
export function conflictError(conflicts: readonly ApplyConflict[]): StatusError {
  const found = conflicts
    .map(({ record, set }) => ({
      manager: describeManager(record),
      fields: [...members(set)].map((path) => describePath(path)),
    }))
    .sort((a, b) => compareTexts(a.manager, b.manager));
  const causes = found.flatMap(({ manager, fields }) =>
    fields.map(
      (field): FieldError => ({
        reason: 'FieldManagerConflict',
        message: `conflict with ${manager}`,
        field,
      }),
    ),
  );
  const [only] = causes;
  const list =
    causes.length === 1 && only
      ? `1 conflict: ${only.message}: ${only.field}`
      : `${causes.length} conflicts: ${found
          .flatMap(({ manager, fields }) => [`conflicts with ${manager}:`, ...fields.map((f) => `- ${f}`)])
          .join('\n')}`;
  return new StatusError('Conflict', `Apply failed with ${list}`, { details: { causes } });
}

function describeManager({ identity }: ManagerRecord): string {
  const { manager, operation, apiVersion, subresource } = identity;
  const through = subresource ? ` with subresource ${JSON.stringify(subresource)}` : '';
  return `${JSON.stringify(manager)}${through}${operation === 'Update' ? ` using ${apiVersion}` : ''}`;
}
