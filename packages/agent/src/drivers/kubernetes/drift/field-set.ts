import type { KubeObject } from '@selvedge/api';
import { fieldOf, isObject, type JsonObject } from './json-pointer.ts';

/**
 * Fields as `metadata.managedFields` names them (FieldsV1): `f:NAME` a field, `k:{…}` the item of a list with these keys, `v:…` a value
 * of a set, `.` the thing itself. Without fields below, all that is there belongs to it.
 */
export type FieldSet = JsonObject;

export interface ManagedFields {
  readonly manager: string;
  readonly operation: string;
  readonly apiVersion: string;
  readonly subresource?: string;
  readonly fields: FieldSet;
}

export function managedFieldsOf(object: Pick<KubeObject, 'metadata'>): ManagedFields[] {
  const entries: unknown = object.metadata.managedFields;
  if (!Array.isArray(entries)) return [];
  return entries.filter(isObject).map((entry) => {
    const subresource = entry['subresource'];
    return {
      manager: textOf(entry['manager']),
      operation: textOf(entry['operation']),
      apiVersion: textOf(entry['apiVersion']),
      ...(typeof subresource === 'string' && subresource !== '' ? { subresource } : {}),
      fields: isObject(entry['fieldsV1']) ? entry['fieldsV1'] : {},
    };
  });
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** What we apply with: `fieldManager`. */
export const fieldManager = 'selvedge';

export function isOurs({ manager, operation, subresource }: ManagedFields): boolean {
  return manager === fieldManager && operation === 'Apply' && subresource === undefined;
}

/** Our entry, of what we applied in this version of the kind. */
export function findOwnFields(
  object: Pick<KubeObject, 'metadata'>,
  apiVersion: string,
): FieldSet | undefined {
  return managedFieldsOf(object).find((entry) => isOurs(entry) && entry.apiVersion === apiVersion)?.fields;
}

/** Whether it names nothing below: a single value, or a list or map that has one owner. */
export const isLeaf = (set: FieldSet): boolean => Object.keys(set).every((key) => key === '.');

export function fieldIn(set: FieldSet | undefined, name: string): FieldSet | undefined {
  const child = fieldOf(set, `f:${name}`);
  return isObject(child) ? child : undefined;
}

/** The entry of an item of a list; undefined also when the list is not followed item by item. */
export function itemIn(set: FieldSet | undefined, item: unknown): FieldSet | undefined {
  const name = set && itemKey(set, item);
  const child = name === undefined ? undefined : fieldOf(set, name);
  return isObject(child) ? child : undefined;
}

/** Keys (`k:{…}`) of the items that a set follows one by one. */
export const followsItems = (set: FieldSet): boolean => Object.keys(set).some((key) => /^[kv]:/.test(key));

/** Name of an item in a set: by its keys, of which it may lack those that have a default; by its value otherwise. */
export function itemKey(set: FieldSet, item: unknown): string | undefined {
  if (!isObject(item)) {
    const name = `v:${JSON.stringify(item)}`;
    return Object.hasOwn(set, name) ? name : undefined;
  }
  const fitting = Object.keys(set).filter((name) => {
    const keys = keysOf(name);
    return keys && Object.entries(keys).every(([key, value]) => isSameKey(fieldOf(item, key), value));
  });
  // Of several, the one with the usual default.
  return (
    fitting.find((name) => isExact(keysOf(name), item)) ??
    fitting.find((name) => name.includes('"TCP"')) ??
    fitting[0]
  );
}

const isSameKey = (own: unknown, value: unknown): boolean => own === undefined || own === value;

const isExact = (keys: JsonObject | undefined, item: JsonObject): boolean =>
  keys !== undefined && Object.keys(keys).every((key) => Object.hasOwn(item, key));

/** `{"name":"a"}` of `k:{"name":"a"}`. */
export function keysOf(name: string): JsonObject | undefined {
  if (!name.startsWith('k:')) return undefined;
  try {
    const keys: unknown = JSON.parse(name.slice(2));
    return isObject(keys) ? keys : undefined;
  } catch {
    return undefined;
  }
}

/** The item of a list that a set's name stands for. */
export function findItem(list: unknown, name: string): unknown {
  if (!Array.isArray(list)) return undefined;
  const keys = keysOf(name);
  if (keys) {
    return list.find((item) => Object.entries(keys).every(([key, value]) => fieldOf(item, key) === value));
  }
  return list.find((item) => `v:${JSON.stringify(item)}` === name);
}
