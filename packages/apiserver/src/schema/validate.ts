import {
  type FieldError,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
} from '@selvedge/api';
import { fieldOf, isObject, type JsonObject } from './json-value.ts';
import { join } from './prune.ts';
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
  const errors: FieldError[] = [];
  check(object, { schema, path: '', errors, quotable: isSensitive ? quoteScalars : quoteAnything });
  return errors.slice(0, maxErrors);
}

interface Visit {
  readonly schema: StructuralSchema;
  readonly path: string;
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

function check(value: unknown, outer: Visit): void {
  const visit = holdsSecrets(outer) ? { ...outer, quotable: hide } : outer;
  const { schema, path, errors, quotable } = visit;
  if (errors.length > maxErrors || (value === null && schema.nullable)) return;
  if (schema.alternatives) {
    checkAlternatives(value, schema.alternatives, visit);
    return;
  }
  if (!hasType(value, schema.type)) {
    errors.push(fieldInvalid(path, quotable(value), typeNames[schema.type]));
    return;
  }
  if (schema.enum && !schema.enum.includes(value as string)) {
    errors.push(fieldNotSupported(path, quotable(value), schema.enum.map(String)));
    return;
  }
  if (typeof value === 'string') checkString(value, visit);
  else if (typeof value === 'number') checkNumber(value, visit);
  else if (Array.isArray(value)) checkList(value, visit);
  else if (isObject(value)) checkObject(value, visit);
}

/** In a sensitive kind: free-form objects (whole manifests), and maps that are the object's own data. */
function holdsSecrets({ schema, path, quotable }: Visit): boolean {
  if (quotable !== quoteScalars) return false;
  const isOwnData = schema.additionalProperties !== undefined && /^[^.[]+$/.test(path);
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

function checkAlternatives(value: unknown, alternatives: readonly StructuralSchema[], visit: Visit): void {
  const fitting = alternatives.find((a) => hasType(value, a.type));
  if (fitting) {
    check(value, { ...visit, schema: fitting });
    return;
  }
  const names = alternatives.map((a) => typeNames[a.type].replace('must be ', ''));
  visit.errors.push(fieldInvalid(visit.path, visit.quotable(value), `must be ${names.join(' or ')}`));
}

function checkString(value: string, { schema, path, errors, quotable }: Visit): void {
  const { minLength = 0, maxLength = Infinity, pattern } = schema.limits;
  // Length counts characters, as JSON Schema does, not UTF-16 units.
  const length =
    value.length < minLength * 2 || value.length > maxLength ? Array.from(value).length : value.length;
  if (length < minLength) {
    const detail = minLength === 1 ? 'must not be empty' : `must have at least ${minLength} characters`;
    errors.push(fieldInvalid(path, quotable(value), detail));
  } else if (length > maxLength) {
    errors.push({
      reason: 'FieldValueTooLong',
      field: path,
      message: `Too long: must have at most ${maxLength} characters`,
    });
  } else if (pattern && !pattern.test(value)) {
    errors.push(fieldInvalid(path, quotable(value), `must match ${pattern.source}`));
  } else {
    const fault = schema.format === undefined ? undefined : formatFaults[schema.format]?.(value);
    if (fault) errors.push(fieldInvalid(path, quotable(value), fault));
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

function checkNumber(value: number, { schema, path, errors, quotable }: Visit): void {
  const fault = faultOfNumber(value, schema.limits);
  if (fault) errors.push(fieldInvalid(path, quotable(value), fault));
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

function checkList(value: readonly unknown[], { schema, path, errors, quotable }: Visit): void {
  const { minItems = 0, maxItems = Infinity } = schema.limits;
  if (value.length < minItems) {
    errors.push(
      fieldInvalid(
        path,
        quotable(value),
        `must have at least ${minItems} ${minItems === 1 ? 'item' : 'items'}`,
      ),
    );
  }
  if (value.length > maxItems) {
    errors.push(fieldInvalid(path, value.length, `must have at most ${maxItems} items`));
    return;
  }
  const { items } = schema;
  if (items)
    for (const [i, item] of value.entries())
      check(item, { schema: items, path: `${path}[${i}]`, errors, quotable });
  checkUnique(value, { schema, path, errors, quotable });
}

function checkUnique(value: readonly unknown[], { schema, path, errors, quotable }: Visit): void {
  if (schema.listType === 'atomic') return;
  const seen = new Set<string>();
  for (const [i, item] of value.entries()) {
    const identity = schema.listType === 'set' ? item : keysOf(item, schema.listMapKeys);
    const text = JSON.stringify(identity);
    if (seen.has(text)) errors.push(fieldDuplicate(`${path}[${i}]`, quotable(identity)));
    seen.add(text);
  }
}

function keysOf(item: unknown, keys: readonly string[]): JsonObject {
  const object = isObject(item) ? item : {};
  return Object.fromEntries(keys.map((key) => [key, fieldOf(object, key)]));
}

function checkObject(value: JsonObject, { schema, path, errors, quotable }: Visit): void {
  const { minProperties = 0, maxProperties = Infinity } = schema.limits;
  const names = Object.keys(value);
  if (names.length < minProperties) {
    errors.push(fieldInvalid(path, quotable(value), `must have at least ${minProperties} keys`));
  }
  if (names.length > maxProperties) {
    errors.push(fieldInvalid(path, names.length, `must have at most ${maxProperties} keys`));
  }
  for (const name of schema.required) {
    if (!Object.hasOwn(value, name)) errors.push(fieldRequired(join(path, name), 'must be set'));
  }
  for (const name of names) {
    const known = schema.properties.get(name);
    const property = known ?? schema.additionalProperties;
    if (property) {
      const child = known ? join(path, name) : `${path}[${name}]`;
      check(value[name], { schema: property, path: child, errors, quotable });
    }
  }
}
