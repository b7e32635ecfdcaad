import { Environment } from '@marcbachmann/cel-js';
import { type CelSchema, isObject } from './cel-schema.ts';
import { type Read, toCel } from './cel-value.ts';
import { expressionOf } from './expression.ts';
import { costOf, maxRuleCost } from './rule-cost.ts';

/** A yes-or-no question in CEL about an object of which no schema is known. */
export interface Condition {
  /**
   * Throws a plain Error with one line of text: a field that it reads is not there, types do not fit, its answer is neither true nor
   * false, or it would take too long on an object of this size.
   */
  evaluate(self: unknown): boolean;
}

/**
 * Compiles CEL over `self`. Fields are read by their names (`self.metadata.labels['a/b']`); whole numbers are `int`, times are text
 * (`timestamp(self.status.since)`). Throws a plain Error with one line of text that says why it cannot be used.
 */
export function compileCondition(text: string): Condition {
  try {
    const condition = compile(['self'], text);
    return { evaluate: (self) => condition.evaluate({ self }) };
  } catch (cause) {
    throw new Error(firstLine(cause), { cause });
  }
}

/** The same over several values, each by its name. */
export interface ConditionOver<Name extends string> {
  /** Throws as `Condition.evaluate` does. */
  evaluate(values: Readonly<Record<Name, unknown>>): boolean;
}

/** As `compileCondition`, over other names than `self`. */
export function compileConditionOver<Name extends string>(
  names: readonly Name[],
  text: string,
): ConditionOver<Name> {
  try {
    return compile(names, text);
  } catch (cause) {
    throw new Error(firstLine(cause), { cause });
  }
}

function compile<Name extends string>(names: readonly Name[], text: string): ConditionOver<Name> {
  // Values may be anything, so only what is wrong whatever they are can be found.
  const environment = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true });
  for (const name of names) environment.registerVariable(name, 'dyn');
  const checked = environment.check(text);
  if (!checked.valid) throw checked.error ?? new Error('it is not valid');
  if (checked.type !== 'bool' && checked.type !== 'dyn') {
    throw new Error(`it is a ${checked.type}, not a bool`);
  }
  // One tree to count with, and one that becomes the program.
  const { ast } = environment.parse(text);
  const { evaluate, read } = expressionOf(environment.parse(text).ast, names);
  return {
    evaluate: (values) => {
      const parts = names.map((name) => {
        const part = read.get(name) ?? new Map<string, Read>();
        return { name, part, value: onlyRead(values[name], part) };
      });
      const schemas = parts.map(({ name, part, value }) => [name, schemaOf(value, part)] as const);
      const cost = Math.ceil(costOf(ast, new Map(schemas)));
      if (cost > maxRuleCost) {
        throw new Error(`it would take ${cost} steps on this object, more than ${maxRuleCost}`);
      }
      let answer: unknown;
      try {
        answer = evaluate(
          Object.fromEntries(parts.map(({ name, value }) => [name, toCel(value, undefined, 'all')])),
        );
      } catch (cause) {
        throw new Error(firstLine(cause), { cause });
      }
      if (typeof answer !== 'boolean') throw new Error('its answer is neither true nor false');
      return answer;
    },
  };
}

/** The fields that are read: what is not has no need to be converted, and may be most of it. */
function onlyRead(value: unknown, read: Read): unknown {
  if (read === 'all' || !isObject(value)) return value;
  const fields = [...read].flatMap(([name, part]) =>
    Object.hasOwn(value, name) ? [[name, onlyRead(value[name], part)] as const] : [],
  );
  return Object.fromEntries(fields);
}

const bare = { nullable: false, preserveUnknownFields: false, intOrString: false, limits: {} };
const none: ReadonlyMap<string, CelSchema> = new Map();

/** The narrowest schema of a value, of what is read of it: so the cost is counted by how large it truly is. */
function schemaOf(value: unknown, read: Read): CelSchema {
  if (Array.isArray(value)) {
    const items = merged(value.map((item) => schemaOf(item, 'all')));
    const limits = { maxItems: value.length };
    return { ...bare, type: 'array', limits, properties: none, ...(items ? { items } : {}) };
  }
  if (isObject(value)) {
    const fields = Object.entries(value).flatMap(([name, field]) => {
      const part = read === 'all' ? 'all' : read.get(name);
      return part === undefined ? [] : [[name, schemaOf(field, part)] as const];
    });
    const values = merged(fields.map(([, field]) => field));
    const limits = { maxProperties: Object.keys(value).length };
    return {
      ...bare,
      type: 'object',
      limits,
      properties: new Map(fields),
      ...(values ? { additionalProperties: values } : {}),
    };
  }
  if (typeof value === 'string') {
    return { ...bare, type: 'string', limits: { maxLength: value.length }, properties: none };
  }
  return { ...bare, type: 'boolean', properties: none };
}

/** One schema for values of all of these; of different types: of the one that costs most. */
function merged(schemas: readonly CelSchema[]): CelSchema | undefined {
  return schemas.reduce<CelSchema | undefined>((a, b) => (a === undefined ? b : mergedPair(a, b)), undefined);
}

const order = ['boolean', 'string', 'array', 'object'];

function mergedPair(a: CelSchema, b: CelSchema): CelSchema {
  if (a.type !== b.type) return order.indexOf(a.type) > order.indexOf(b.type) ? a : b;
  const items = merged([a.items, b.items].filter((schema) => schema !== undefined));
  const values = merged(
    [a.additionalProperties, b.additionalProperties].filter((schema) => schema !== undefined),
  );
  const properties = new Map(a.properties);
  for (const [name, schema] of b.properties) {
    const known = properties.get(name);
    properties.set(name, known ? mergedPair(known, schema) : schema);
  }
  return {
    ...bare,
    type: a.type,
    limits: {
      maxItems: Math.max(a.limits.maxItems ?? 0, b.limits.maxItems ?? 0),
      maxLength: Math.max(a.limits.maxLength ?? 0, b.limits.maxLength ?? 0),
      maxProperties: Math.max(a.limits.maxProperties ?? 0, b.limits.maxProperties ?? 0),
    },
    properties,
    ...(items ? { items } : {}),
    ...(values ? { additionalProperties: values } : {}),
  };
}

/** Further lines show the expression. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0] ?? text;
}
