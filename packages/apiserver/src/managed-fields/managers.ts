import type { KubeObject, ManagedFieldsEntry } from '@selvedge/api';
import { isObject } from '../schema/json-value.ts';
import { type FieldSet, fromFieldsV1, isEmpty, toFieldsV1, union, without } from './field-set.ts';

/** Who manages fields, and through which door. Two records with the same identity are one. */
export interface ManagerIdentity {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource?: string;
}

export interface ManagerRecord {
  readonly identity: ManagerIdentity;
  readonly time: string | undefined;
  readonly set: FieldSet;
}

/** As Kubernetes: so that many one-time writers do not grow an object without end. */
const maxUpdateManagers = 10;
const ancientManager = 'ancient-changes';

export function sameManager(a: ManagerIdentity, b: ManagerIdentity): boolean {
  return (
    a.manager === b.manager &&
    a.operation === b.operation &&
    a.apiVersion === b.apiVersion &&
    (a.subresource ?? '') === (b.subresource ?? '')
  );
}

/** What `metadata.managedFields` says; `undefined` when there is none or it cannot be read. */
export function readManagers(object: KubeObject): ManagerRecord[] | undefined {
  const entries: unknown = object.metadata.managedFields;
  if (!Array.isArray(entries)) return undefined;
  // `[{}]` is how a client asks to forget all ownership; JSON merge patch cannot send an empty list to kubectl's liking.
  if (entries.length === 1 && isObject(entries[0]) && Object.keys(entries[0]).length === 0) return [];
  try {
    return entries.map(readEntry);
  } catch {
    // Written by a client that made it up: what the server last knew stands.
    return undefined;
  }
}

function readEntry(entry: ManagedFieldsEntry): ManagerRecord {
  if (entry.fieldsType !== 'FieldsV1' || !isObject(entry.fieldsV1) || !entry.operation || !entry.manager) {
    throw new TypeError('not a managedFields entry');
  }
  const { manager, operation, apiVersion, subresource, time } = entry;
  const identity = { manager, operation, apiVersion, ...(subresource ? { subresource } : {}) };
  return { identity, time, set: fromFieldsV1(entry.fieldsV1) };
}

export function writeManagers(records: readonly ManagerRecord[]): ManagedFieldsEntry[] {
  return fold(records.filter((r) => !isEmpty(r.set))).map(({ identity, time, set }) => ({
    manager: identity.manager,
    operation: identity.operation,
    apiVersion: identity.apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: toFieldsV1(set),
    ...(identity.subresource ? { subresource: identity.subresource } : {}),
  }));
}

function fold(records: readonly ManagerRecord[]): readonly ManagerRecord[] {
  const updates = records.filter((r) => r.identity.operation === 'Update');
  if (updates.length <= maxUpdateManagers) return records;
  const oldestFirst = updates.toSorted((a, b) => ((a.time ?? '') < (b.time ?? '') ? -1 : 1));
  const folded = new Set(oldestFirst.slice(0, updates.length - maxUpdateManagers + 1));
  const [first] = folded;
  if (!first) return records;
  const set = [...folded].map((r) => r.set).reduce(union);
  const { apiVersion } = first.identity;
  const ancient: ManagerRecord = {
    identity: { manager: ancientManager, operation: 'Update', apiVersion },
    time: first.time,
    set,
  };
  return [ancient, ...records.filter((r) => !folded.has(r))];
}

const unowned: readonly (readonly string[])[] = [
  ['f:apiVersion'],
  ['f:kind'],
  ...[
    'name',
    'namespace',
    'selfLink',
    'uid',
    'resourceVersion',
    'generation',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'managedFields',
  ].map((name) => ['f:metadata', `f:${name}`]),
];

/** Leaves out what belongs to the server alone. */
export function ownable(set: FieldSet): FieldSet {
  const result = unowned.reduce((remaining, path) => without(remaining, path), set);
  const metadata = result.children.get('f:metadata');
  if (!metadata?.member) return result;
  const children = new Map(result.children);
  if (metadata.children.size === 0) children.delete('f:metadata');
  else children.set('f:metadata', { member: false, children: metadata.children });
  return { member: false, children };
}
