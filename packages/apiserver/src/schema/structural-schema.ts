import { isObject } from '@selvedge/api';
import type { JsonSchema } from '../resource-definition.ts';
import { readValidationRules, type ValidationRule } from './validation-rule.ts';

export type SchemaType = 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'any';

/**
 * A definition's JSON Schema, read once and made plain: no unions of literals, no pattern properties. Everything that
 * walks objects (validation, defaults, field ownership, OpenAPI) walks this.
 */
export interface StructuralSchema {
  readonly type: SchemaType;
  /** With type `any`: the value has to fit one of these scalars. */
  readonly alternatives?: readonly StructuralSchema[];
  readonly description?: string;
  readonly format?: string;
  readonly default?: unknown;
  readonly enum?: readonly (string | number | boolean)[];
  readonly nullable: boolean;
  readonly limits: Limits;
  readonly properties: ReadonlyMap<string, StructuralSchema>;
  readonly required: readonly string[];
  /** Values of a map. */
  readonly additionalProperties?: StructuralSchema;
  readonly items?: StructuralSchema;
  readonly listType: 'atomic' | 'set' | 'map';
  readonly listMapKeys: readonly string[];
  /** One value to field ownership, not a field for each key. */
  readonly atomicMap: boolean;
  /**
   * What Go writes for a field of a built-in kind that is not set and not left out then (`{}`, `""`, `null`). To field
   * ownership it is there even when it is not.
   */
  readonly zero?: unknown;
  readonly preserveUnknownFields: boolean;
  readonly intOrString: boolean;
  /** CEL rules. */
  readonly validations?: readonly ValidationRule[];
}

export interface Limits {
  readonly pattern?: RegExp;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly multipleOf?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
}

const numericLimits = [
  'minLength',
  'maxLength',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
] as const;

/** Throws a plain Error: a schema that cannot be read is a fault of the program, found at its start. */
export function readSchema(schema: JsonSchema, path = 'schema'): StructuralSchema {
  for (const word of ['allOf', 'oneOf', 'not', '$ref', 'if']) {
    if (word in schema) throw new Error(`${path}: ${word} is not supported in the schema of a resource`);
  }
  const union = readUnion(schema, path);
  const type = union?.type ?? readType(schema, path);
  const properties = readProperties(schema, path);
  const additionalProperties = readAdditionalProperties(schema, path);
  const items = isObject(schema['items']) ? readSchema(schema['items'], `${path}[]`) : undefined;
  const listMapKeys = (schema['x-kubernetes-list-map-keys'] as string[] | undefined) ?? [];
  return {
    type,
    ...(union?.alternatives ? { alternatives: union.alternatives } : {}),
    ...(typeof schema['description'] === 'string' ? { description: schema['description'] } : {}),
    ...(typeof schema['format'] === 'string' ? { format: schema['format'] } : {}),
    ...('default' in schema ? { default: schema['default'] } : {}),
    ...withEnum(schema, union?.values),
    nullable: schema['nullable'] === true,
    limits: readLimits(schema),
    properties,
    required: (schema['required'] as string[] | undefined) ?? [],
    ...(additionalProperties ? { additionalProperties } : {}),
    ...(items ? { items } : {}),
    listType: (schema['x-kubernetes-list-type'] as StructuralSchema['listType'] | undefined) ?? 'atomic',
    listMapKeys,
    atomicMap: schema['x-kubernetes-map-type'] === 'atomic',
    preserveUnknownFields:
      schema['x-kubernetes-preserve-unknown-fields'] === true ||
      schema['additionalProperties'] === true ||
      (type === 'any' && !union),
    intOrString: schema['x-kubernetes-int-or-string'] === true,
    ...('x-kubernetes-validations' in schema ? { validations: readValidationRules(schema, path) } : {}),
  };
}

function readType(schema: JsonSchema, path: string): SchemaType {
  const type = schema['type'];
  if (type === undefined) {
    const fixed = typeof schema['const'];
    return fixed === 'string' || fixed === 'boolean' || fixed === 'number' ? fixed : 'any';
  }
  if (typeof type !== 'string') throw new Error(`${path}: type has to be one name`);
  return type as SchemaType;
}

interface Union {
  type: SchemaType;
  values?: (string | number | boolean)[];
  alternatives?: StructuralSchema[];
}

const intOrString: JsonSchema[] = [{ type: 'integer' }, { type: 'string' }];

/** `anyOf` of literals is an enum; of scalars, a choice. Anything else has no structural form. */
function readUnion(schema: JsonSchema, path: string): Union | undefined {
  const implied = schema['x-kubernetes-int-or-string'] === true ? intOrString : undefined;
  const members = (schema['anyOf'] as JsonSchema[] | undefined) ?? implied;
  if (!members) return undefined;
  if (members.every((m) => 'const' in m)) {
    const values = members.map((m) => m['const'] as string | number | boolean);
    return { type: typeof values[0] === 'number' ? 'number' : (typeof values[0] as SchemaType), values };
  }
  const alternatives = members.map((m, i) => readSchema(m, `${path}|${i}`));
  const plain = alternatives.every((a) => a.type !== 'object' && a.type !== 'array' && a.type !== 'any');
  if (!plain) throw new Error(`${path}: anyOf may only hold literals, strings, numbers and booleans`);
  return { type: 'any', alternatives };
}

function withEnum(schema: JsonSchema, values: Union['values']): Pick<StructuralSchema, 'enum'> {
  if (values) return { enum: values };
  if ('const' in schema) return { enum: [schema['const'] as string] };
  return Array.isArray(schema['enum']) ? { enum: schema['enum'] as string[] } : {};
}

function readProperties(schema: JsonSchema, path: string): Map<string, StructuralSchema> {
  const properties = (schema['properties'] ?? {}) as Record<string, JsonSchema>;
  return new Map(Object.entries(properties).map(([name, s]) => [name, readSchema(s, `${path}.${name}`)]));
}

/** A TypeBox record is a pattern property that matches every name. */
function readAdditionalProperties(schema: JsonSchema, path: string): StructuralSchema | undefined {
  const additional = schema['additionalProperties'];
  if (isObject(additional)) return readSchema(additional, `${path}[*]`);
  const patterns = Object.entries((schema['patternProperties'] ?? {}) as Record<string, JsonSchema>);
  const [first, ...others] = patterns;
  if (!first) return undefined;
  if (others.length > 0 || first[0] !== '^.*$')
    throw new Error(`${path}: keys of a map cannot have patterns`);
  return readSchema(first[1], `${path}[*]`);
}

function readLimits(schema: JsonSchema): Limits {
  const limits: Record<string, number | RegExp> = {};
  for (const name of numericLimits) {
    const value = schema[name];
    if (typeof value === 'number') limits[name] = value;
  }
  if (typeof schema['pattern'] === 'string') limits['pattern'] = new RegExp(schema['pattern'], 'u');
  return limits;
}
