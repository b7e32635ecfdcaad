import {
  type FieldError,
  fieldOf,
  isObject,
  isSameJson,
  type JsonObject,
  type KubeObject,
} from '@selvedge/api';
import { timesOf } from '@selvedge/api/cel';
import { join } from '../../schema/prune.ts';
import type { StructuralSchema } from '../../schema/structural-schema.ts';
import { type CompiledRule, compileRule } from './compile-rule.ts';

/** The validation rules (CEL) of a kind's schema, compiled. */
export interface SchemaRules {
  /** What they refuse. The object fits its schema. What an update leaves as it was is not judged again. */
  check(object: KubeObject, previous: KubeObject | undefined): FieldError[];
}

/** The part of a schema that leads to rules. */
interface RuleTree {
  readonly schema: StructuralSchema;
  readonly rules: readonly CompiledRule[];
  readonly properties: readonly (readonly [string, RuleTree])[];
  readonly items: RuleTree | undefined;
  readonly values: RuleTree | undefined;
}

interface Place {
  readonly name: string;
  readonly times: number;
  readonly hasOldSelf: boolean;
  readonly mayQuote: boolean;
}

/** `undefined` when the schema has no rules. Throws a plain Error that names a rule that cannot be compiled. */
export function compileSchemaRules(
  schema: StructuralSchema,
  { kind, isSensitive }: { kind: string; isSensitive: boolean },
): SchemaRules | undefined {
  const tree = compileTree(schema, { name: kind, times: 1, hasOldSelf: true, mayQuote: !isSensitive });
  if (!tree) return undefined;
  return {
    check: (object, previous) => {
      const errors: FieldError[] = [];
      checkTree(tree, { value: object, old: previous, path: '', errors });
      return errors;
    },
  };
}

function compileTree(schema: StructuralSchema, place: Place): RuleTree | undefined {
  const { name } = place;
  const times = place.times * timesOf(schema);
  const rules = (schema.validations ?? []).map((rule) => compileRule(rule, { ...place, schema }));
  const properties = [...schema.properties].flatMap(([field, s]) => {
    const tree = compileTree(s, { ...place, name: `${name}.${field}` });
    return tree ? [[field, tree] as const] : [];
  });
  const hasOldSelf = place.hasOldSelf && schema.listType === 'map';
  const items = schema.items && compileTree(schema.items, { ...place, name: `${name}[]`, times, hasOldSelf });
  const { additionalProperties } = schema;
  const values =
    additionalProperties && compileTree(additionalProperties, { ...place, name: `${name}[*]`, times });
  const isBare = rules.length + properties.length === 0 && !items && !values;
  return isBare ? undefined : { schema, rules, properties, items, values };
}

interface Visit {
  readonly value: unknown;
  readonly old: unknown;
  readonly path: string;
  readonly errors: FieldError[];
}

function checkTree(tree: RuleTree, { value, old, path, errors }: Visit): void {
  if (value === undefined || value === null) return;
  if (old !== undefined && isSameJson(value, old)) return;
  for (const rule of tree.rules) {
    const error = rule.check(value, old ?? undefined, path);
    if (error) errors.push(error);
  }
  if (isObject(value)) {
    const before = isObject(old) ? old : undefined;
    for (const [name, child] of tree.properties) {
      const next = { value: fieldOf(value, name), old: before && fieldOf(before, name) };
      checkTree(child, { ...next, path: join(path, name), errors });
    }
    if (tree.values) checkValues(tree, { value, before, path, errors });
  } else if (Array.isArray(value) && tree.items) {
    checkItems(tree.items, {
      list: value,
      old: Array.isArray(old) ? old : [],
      schema: tree.schema,
      path,
      errors,
    });
  }
}

function checkValues(
  { schema, values }: RuleTree,
  visit: { value: JsonObject; before: JsonObject | undefined; path: string; errors: FieldError[] },
): void {
  const { value, before, path, errors } = visit;
  for (const name of Object.keys(value)) {
    if (!values || schema.properties.has(name)) continue;
    const old = before && fieldOf(before, name);
    checkTree(values, { value: value[name], old, path: `${path}[${name}]`, errors });
  }
}

function checkItems(
  tree: RuleTree,
  visit: {
    list: readonly unknown[];
    old: readonly unknown[];
    schema: StructuralSchema;
    path: string;
    errors: FieldError[];
  },
): void {
  const { list, old, schema, path, errors } = visit;
  const keyOf = (item: unknown): string =>
    JSON.stringify(schema.listMapKeys.map((key) => (isObject(item) ? fieldOf(item, key) : undefined)));
  // Only the items of a map have an identity that lasts.
  const hasOld = schema.listType === 'map' && old.length > 0;
  const byKey = hasOld ? new Map(old.map((item) => [keyOf(item), item])) : undefined;
  for (const [i, value] of list.entries()) {
    checkTree(tree, { value, old: byKey?.get(keyOf(value)), path: `${path}[${i}]`, errors });
  }
}
