import {
  fieldDuplicate,
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldOf,
  fieldRequired,
  fieldTypeInvalid,
  isObject,
  type JsonObject,
} from '@selvedge/api';
import { FieldPath } from './field-path.ts';
import type { Limits, SchemaType, StructuralSchema } from './structural-schema.ts';

/** So that one wrong object cannot fill the log and the screen. */
const maxErrors = 30;

/** Which part of a rejected value a message may show. */
type Quotable = (rejected: unknown) => unknown;
const quoteAnything: Quotable = (rejected) => rejected;
const hide: Quotable = () => '(hidden)';
/** A list or object in the wrong place may hold anything. */
const quoteScalars: Quotable = (rejected) =>
  typeof rejected === 'object' && rejected !== null ? '(hidden)' : rejected;

/**
 * Everything in which the object differs from its schema, with Kubernetes field paths. Unknown fields are not looked
 * at. Of a sensitive kind no value is quoted that may be a secret.
 */
export function validate(
  object: unknown,
  schema: StructuralSchema,
  { isSensitive = false }: { isSensitive?: boolean } = {},
): FieldError[] {
  const quotable = isSensitive ? quoteScalars : quoteAnything;
  const walk: Walk = { path: new FieldPath(), errors: [], quotable };
  check(object, schema, walk);
  return walk.errors.slice(0, maxErrors);
}

interface Walk {
  /** Where it is now. */
  readonly path: FieldPath;
  readonly errors: FieldError[];
  readonly quotable: Quotable;
}

const typeNames: Record<SchemaType, string> = {
  object: 'must be an object',
  array: 'must be a list',
  string: 'must be a string',
  integer: 'must be an integer',
  number: 'must be a number',
  boolean: 'must be true or false',
  any: 'must be a value',
};

function check(value: unknown, schema: StructuralSchema, outer: Walk): void {
  const walk = holdsSecrets(schema, outer) ? { ...outer, quotable: hide } : outer;
  const { path, errors, quotable } = walk;
  if (errors.length > maxErrors || (value === null && schema.nullable)) return;
  if (schema.alternatives) {
    checkAlternatives(value, schema.alternatives, walk);
    return;
  }
  if (!hasType(value, schema.type)) {
    errors.push(fieldTypeInvalid(path.toString(), quotable(value), typeNames[schema.type]));
    return;
  }
  if (schema.enum && !schema.enum.includes(value as string)) {
    errors.push(fieldNotSupported(path.toString(), quotable(value), schema.enum.map(String)));
    return;
  }
  if (typeof value === 'string') checkString(value, schema, walk);
  else if (typeof value === 'number') checkNumber(value, schema, walk);
  else if (Array.isArray(value)) checkList(value, schema, walk);
  else if (isObject(value)) checkObject(value, schema, walk);
}

/** In a sensitive kind: free-form objects (whole manifests), and maps that are the object's own data. */
function holdsSecrets(schema: StructuralSchema, { path, quotable }: Walk): boolean {
  if (quotable !== quoteScalars) return false;
  const isOwnData = schema.additionalProperties !== undefined && path.depth === 1;
  return isOwnData || schema.preserveUnknownFields;
}

function hasType(value: unknown, type: SchemaType): boolean {
  switch (type) {
    case 'any':
      return true;
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isSafeInteger(value);
    default:
      return typeof value === type;
  }
}

function checkAlternatives(value: unknown, alternatives: readonly StructuralSchema[], walk: Walk): void {
  const fitting = alternatives.find((a) => hasType(value, a.type));
  if (fitting) {
    check(value, fitting, walk);
    return;
  }
  const names = alternatives.map((a) => typeNames[a.type].replace('must be ', ''));
  const { path, errors, quotable } = walk;
  errors.push(fieldInvalid(path.toString(), quotable(value), `must be ${names.join(' or ')}`));
}

function checkString(value: string, schema: StructuralSchema, { path, errors, quotable }: Walk): void {
  const { minLength = 0, maxLength = Infinity, pattern } = schema.limits;
  // Length counts characters, as JSON Schema does, not UTF-16 units.
  const length =
    value.length < minLength * 2 || value.length > maxLength ? Array.from(value).length : value.length;
  if (length < minLength) {
    const detail = minLength === 1 ? 'must not be empty' : `must have at least ${minLength} characters`;
    errors.push(fieldInvalid(path.toString(), quotable(value), detail));
  } else if (length > maxLength) {
    errors.push({
      reason: 'FieldValueTooLong',
      field: path.toString(),
      message: `Too long: must have at most ${maxLength} characters`,
    });
  } else if (pattern && !pattern.test(value)) {
    errors.push(fieldInvalid(path.toString(), quotable(value), `must match ${pattern.source}`));
  } else {
    const fault = schema.format === undefined ? undefined : formatFaults[schema.format]?.(value);
    if (fault) errors.push(fieldInvalid(path.toString(), quotable(value), fault));
  }
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const formatFaults: Record<string, ((value: string) => string | undefined) | undefined> = {
  'date-time': (value) =>
    rfc3339.test(value) && !Number.isNaN(Date.parse(value))
      ? undefined
      : 'must be a time as in 2026-01-31T12:00:00Z',
  byte: (value) => (base64.test(value) ? undefined : 'must be base64'),
};

function checkNumber(value: number, schema: StructuralSchema, { path, errors, quotable }: Walk): void {
  const fault = faultOfNumber(value, schema.limits);
  if (fault) errors.push(fieldInvalid(path.toString(), quotable(value), fault));
}

function faultOfNumber(value: number, limits: Limits): string | undefined {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = limits;
  if (minimum !== undefined && value < minimum) return `must be at least ${minimum}`;
  if (maximum !== undefined && value > maximum) return `must be at most ${maximum}`;
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) return `must be above ${exclusiveMinimum}`;
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) return `must be below ${exclusiveMaximum}`;
  if (multipleOf !== undefined && value % multipleOf !== 0) return `must be a multiple of ${multipleOf}`;
  return undefined;
}

function checkList(value: readonly unknown[], schema: StructuralSchema, walk: Walk): void {
  const { path, errors, quotable } = walk;
  const { items, limits } = schema;
  const { minItems = 0, maxItems = Infinity } = limits;
  if (value.length < minItems) {
    const detail = `must have at least ${minItems} ${minItems === 1 ? 'item' : 'items'}`;
    errors.push(fieldInvalid(path.toString(), quotable(value), detail));
  }
  if (value.length > maxItems) {
    errors.push(fieldInvalid(path.toString(), value.length, `must have at most ${maxItems} items`));
    return;
  }
  if (items) {
    for (const [i, item] of value.entries()) {
      path.enter(i);
      check(item, items, walk);
      path.leave();
    }
  }
  checkUnique(value, schema, walk);
}

function checkUnique(
  value: readonly unknown[],
  schema: StructuralSchema,
  { path, errors, quotable }: Walk,
): void {
  // Of metadata Kubernetes does not ask it: finalizers may stand twice.
  if (schema.listType === 'atomic' || path.root === 'metadata') return;
  const seen = new Map<string, number>();
  for (const [i, item] of value.entries()) {
    const identity = schema.listType === 'set' ? item : keysOf(item, schema.listMapKeys);
    const text = JSON.stringify(identity);
    const times = seen.get(text) ?? 0;
    // Each identity once, however often it stands.
    if (times === 1) errors.push(fieldDuplicate(`${path.toString()}[${i}]`, quotable(identity)));
    seen.set(text, times + 1);
  }
}

function keysOf(item: unknown, keys: readonly string[]): JsonObject {
  const object = isObject(item) ? item : {};
  return Object.fromEntries(keys.map((key) => [key, fieldOf(object, key)]));
}

function checkObject(value: JsonObject, schema: StructuralSchema, walk: Walk): void {
  const { path, errors, quotable } = walk;
  const { minProperties = 0, maxProperties = Infinity } = schema.limits;
  const names = Object.keys(value);
  if (names.length < minProperties) {
    errors.push(fieldInvalid(path.toString(), quotable(value), `must have at least ${minProperties} keys`));
  }
  if (names.length > maxProperties) {
    errors.push(fieldInvalid(path.toString(), names.length, `must have at most ${maxProperties} keys`));
  }
  for (const name of schema.required) {
    if (!Object.hasOwn(value, name)) errors.push(fieldRequired(path.ofField(name), 'must be set'));
  }
  for (const name of names) {
    const known = schema.properties.get(name);
    const property = known ?? schema.additionalProperties;
    if (!property) continue;
    if (known) path.enter(name);
    else path.enterKey(name);
    check(value[name], property, walk);
    path.leave();
  }
}
