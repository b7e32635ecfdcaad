import { isObject, isSameJson, type KubeObject, type ManagedFieldsEntry } from '@selvedge/api';
import type { StructuralSchema } from '../schema/structural-schema.ts';
import {
  type FieldSet,
  inOrder,
  isEmpty,
  isEqual,
  leaf,
  type NewFieldSet,
  readFieldsV1,
  union,
} from './field-set.ts';
import { compareTexts } from './path-element.ts';
import { schemaOfField } from './typed-value.ts';

/** Who manages fields, and through which door. */
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

/** Two records of one identity are one. Who applies is the same whatever version it applies in. */
export function sameManager(a: ManagerIdentity, b: ManagerIdentity): boolean {
  return (
    a.manager === b.manager &&
    a.operation === b.operation &&
    (a.operation === 'Apply' || a.apiVersion === b.apiVersion) &&
    (a.subresource ?? '') === (b.subresource ?? '')
  );
}

/** The managers of an object that the server wrote. */
export function readManagers(object: KubeObject, schema: StructuralSchema): ManagerRecord[] {
  return (object.metadata.managedFields ?? []).map((entry) => {
    const set = entry.fieldsV1 as FieldSet;
    return { identity: identityOf(entry), time: entry.time, set: withoutPartsOfWholes(set, schema) };
  });
}

function identityOf({ manager, operation, apiVersion, subresource }: ManagedFieldsEntry): ManagerIdentity {
  return { manager, operation, apiVersion, ...(subresource ? { subresource } : {}) };
}

/** A list or object that has become indivisible is owned as one by whoever owned parts of it. */
function withoutPartsOfWholes(set: FieldSet, schema: StructuralSchema | undefined): FieldSet {
  if (schema === undefined) return set;
  let result: NewFieldSet | undefined;
  for (const element in set) {
    const node = set[element] as FieldSet;
    if (isEmpty(node)) continue;
    const child = element.startsWith('f:') ? schemaOfField(schema, element.slice(2)) : schema.items;
    if (child === undefined || !hasWhole(child)) continue;
    const now = isWhole(child) ? leaf : withoutPartsOfWholes(node, child);
    if (now === node) continue;
    result ??= { ...set };
    result[element] = now;
  }
  return result ?? set;
}

const known = new WeakMap<StructuralSchema, boolean>();

/** Whether it, or anything below, is indivisible. */
function hasWhole(schema: StructuralSchema): boolean {
  const answer = known.get(schema);
  if (answer !== undefined) return answer;
  const { properties, additionalProperties, items } = schema;
  const parts = [...properties.values(), additionalProperties, items].filter((part) => part !== undefined);
  const has = isWhole(schema) || parts.some(hasWhole);
  known.set(schema, has);
  return has;
}

const isWhole = ({ type, listType, atomicMap }: StructuralSchema): boolean =>
  type === 'array' ? listType === 'atomic' : type === 'object' && atomicMap;

/** What a client says of managers with a write. */
export type SentManagers =
  | { readonly kind: 'nothing' }
  /** An empty list, or the one empty entry: nobody is to own anything. */
  | { readonly kind: 'reset' }
  | { readonly kind: 'entries'; readonly entries: readonly ManagedFieldsEntry[] };

/** What cannot be read counts as nothing: a client that does not know managed fields must not destroy them. */
export function readSentManagers(sent: unknown): SentManagers {
  if (!Array.isArray(sent)) return { kind: 'nothing' };
  const [first] = sent as unknown[];
  if (sent.length === 0 || (sent.length === 1 && isObject(first) && Object.keys(first).length === 0)) {
    return { kind: 'reset' };
  }
  try {
    return { kind: 'entries', entries: sent.map(readEntry) };
  } catch {
    return { kind: 'nothing' };
  }
}

function readEntry(entry: unknown): ManagedFieldsEntry {
  if (!isObject(entry)) throw new TypeError('not an entry');
  const { manager, operation, apiVersion, time, fieldsType, fieldsV1, subresource } = entry;
  if (operation !== 'Apply' && operation !== 'Update') throw new TypeError('operation is Apply or Update');
  if (typeof apiVersion !== 'string' || apiVersion === '') throw new TypeError('apiVersion is missing');
  if (fieldsType !== 'FieldsV1') throw new TypeError('fieldsType is FieldsV1');
  if (typeof time === 'string' && Number.isNaN(Date.parse(time))) throw new TypeError('time is none');
  return {
    manager: typeof manager === 'string' ? manager : '',
    operation,
    apiVersion,
    ...(typeof time === 'string' ? { time } : {}),
    fieldsType,
    fieldsV1: fieldsV1 === undefined ? {} : readFieldsV1(fieldsV1),
    ...(typeof subresource === 'string' && subresource !== '' ? { subresource } : {}),
  };
}

/** Entries in Kubernetes' order: who applies, then who updates, each from the oldest on. `undefined` for none. */
export function writeManagers(records: readonly ManagerRecord[]): ManagedFieldsEntry[] | undefined {
  const owners = records.filter(({ set }) => !isEmpty(set));
  if (owners.length === 0) return undefined;
  return owners.toSorted(compareRecords).map(({ identity, time, set }) => ({
    manager: identity.manager,
    operation: identity.operation,
    apiVersion: identity.apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: inOrder(set),
    ...(identity.subresource ? { subresource: identity.subresource } : {}),
  }));
}

function compareRecords(a: ManagerRecord, b: ManagerRecord): number {
  return (
    compareTexts(a.identity.operation, b.identity.operation) ||
    compareTexts(a.time ?? '', b.time ?? '') ||
    compareTexts(a.identity.manager, b.identity.manager) ||
    compareTexts(a.identity.apiVersion, b.identity.apiVersion) ||
    compareTexts(a.identity.subresource ?? '', b.identity.subresource ?? '')
  );
}

/** Folds the oldest of many updating managers into one entry for each API version. */
export function foldAncient(records: readonly ManagerRecord[]): readonly ManagerRecord[] {
  const updating = records.filter((r) => r.identity.operation === 'Update');
  if (updating.length <= maxUpdateManagers) return records;
  const folded = new Map<ManagerRecord, string>();
  let count = updating.length;
  const oldestByVersion = new Map<string, ManagerRecord>();
  for (const record of updating.toSorted(compareRecords)) {
    if (count <= maxUpdateManagers) break;
    const { apiVersion } = record.identity;
    const oldest = oldestByVersion.get(apiVersion);
    if (oldest) {
      folded.set(oldest, apiVersion).set(record, apiVersion);
      count--;
    } else oldestByVersion.set(apiVersion, record);
  }
  const ancient = Map.groupBy(folded.keys(), (record) => record.identity.apiVersion);
  return [
    ...[...ancient].map(
      ([apiVersion, parts]): ManagerRecord => ({
        identity: { manager: ancientManager, operation: 'Update', apiVersion },
        time: parts.at(-1)?.time,
        set: parts.map((r) => r.set).reduce(union),
      }),
    ),
    ...records.filter((r) => !folded.has(r)),
  ];
}

/** The object with these managers in place of its own. */
export function withManagers(object: KubeObject, entries: ManagedFieldsEntry[] | undefined): KubeObject {
  const { metadata, ...others } = withoutManagers(object);
  return { ...others, metadata: entries ? { ...metadata, managedFields: entries } : metadata } as KubeObject;
}

/** Ownership is not owned. */
export function withoutManagers(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** Whether a write would change nothing but when managers wrote. Such a write is none, and makes no revision. */
export function isSameButForTimes(a: KubeObject, b: KubeObject): boolean {
  return (
    haveSameManagers(a.metadata.managedFields, b.metadata.managedFields) &&
    isSameJson(withoutManagers(a), withoutManagers(b))
  );
}

function haveSameManagers(
  a: readonly ManagedFieldsEntry[] | undefined,
  b: readonly ManagedFieldsEntry[] | undefined,
): boolean {
  if (a === undefined || b === undefined || a.length !== b.length) return a === b;
  return a.every((entry) => {
    const other = b.find((o) => sameManager(identityOf(o), identityOf(entry)));
    return (
      other !== undefined &&
      other.apiVersion === entry.apiVersion &&
      isEqual(entry.fieldsV1 as FieldSet, other.fieldsV1 as FieldSet)
    );
  });
}

const unowned: FieldSet = {
  'f:apiVersion': leaf,
  'f:kind': leaf,
  'f:metadata': {
    '.': leaf,
    'f:name': leaf,
    'f:namespace': leaf,
    'f:selfLink': leaf,
    'f:uid': leaf,
    'f:resourceVersion': leaf,
    'f:generation': leaf,
    'f:creationTimestamp': leaf,
    'f:managedFields': leaf,
    'f:clusterName': leaf,
  },
};
/** What belongs to the server alone: nobody owns it. */
export { unowned };
