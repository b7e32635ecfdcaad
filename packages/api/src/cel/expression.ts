import { type ASTNode, Environment, Optional, serialize } from '@marcbachmann/cel-js';
import type { CelSchema } from './cel-schema.ts';
import { typedEnvironment } from './cel-types.ts';
import { type Read, toCel } from './cel-value.ts';
import { LinearRegExp } from './linear-regexp.ts';
import { costOf, maxRuleCost } from './rule-cost.ts';

/** A checked piece of CEL over `self` and `oldSelf`. */
export interface Expression {
  /** Throws what went wrong. */
  readonly evaluate: (values: { self: unknown; oldSelf?: unknown }) => unknown;
  /** What it reads of `self` and `oldSelf`. */
  readonly read: ReadonlyMap<string, Read>;
}

const ruleNames = ['self', 'oldSelf'];
const evaluations = new Map<string, Environment>();

/** Knows no types: values have the right ones, and the rule has been checked before. One for each list of names. */
function evaluationOver(names: readonly string[]): Environment {
  const known = evaluations.get(names.join());
  if (known) return known;
  const environment = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true });
  for (const name of names) environment.registerVariable(name, 'dyn');
  environment.registerFunction('string.matchesInLinearTime(string): bool', (text: string, pattern: string) =>
    expressionFor(pattern).test(text),
  );
  evaluations.set(names.join(), environment);
  return environment;
}

/** Filled when rules are compiled, so it is as large as the program has patterns. */
const expressions = new Map<string, LinearRegExp>();

function expressionFor(pattern: string): LinearRegExp {
  const expression = expressions.get(pattern) ?? new LinearRegExp(pattern);
  expressions.set(pattern, expression);
  return expression;
}

/** Throws a plain Error that says why it cannot be used. */
export function compileExpression(
  text: string,
  {
    type,
    schema,
    times,
    hasOptionalOldSelf,
  }: {
    type: 'bool' | 'string';
    schema: CelSchema;
    /** On how many values of one object it is asked at worst. */
    times: number;
    hasOptionalOldSelf: boolean;
  },
): Expression {
  const environment = typedEnvironment(schema, { hasOptionalOldSelf });
  const checked = environment.check(text);
  if (!checked.valid) throw checked.error ?? new Error('it is not valid');
  if (checked.type !== type) throw new Error(`it is a ${checked.type}, not a ${type}`);
  const { ast } = environment.parse(text);
  const scope = new Map([
    ['self', schema],
    ['oldSelf', schema],
  ]);
  const cost = Math.ceil(costOf(ast, scope) * times);
  if (cost > maxRuleCost) {
    throw new Error(
      `it may take ${cost} steps, more than ${maxRuleCost}: limit lists, maps and texts with maxItems, maxProperties and maxLength`,
    );
  }
  return expressionOf(ast, ruleNames);
}

/** The tree is changed: use it for nothing else afterwards. Throws for a `matches` whose pattern is not known now. */
export function expressionOf(
  ast: ASTNode,
  names: readonly string[],
): { readonly evaluate: (values: Readonly<Record<string, unknown>>) => unknown } & Pick<Expression, 'read'> {
  replaceMatches(ast);
  const evaluate = evaluationOver(names).parse(serialize(ast));
  return { evaluate: (values) => evaluate(values), read: readBy(ast, names) };
}

/** `matches` of the library may run for ever; ours may not. */
function replaceMatches(node: unknown): void {
  for (const child of childrenOf(node)) replaceMatches(child);
  if (!isNode(node) || (node.op !== 'rcall' && node.op !== 'call') || node.args[0] !== 'matches') return;
  const pattern = node.op === 'rcall' ? node.args[2][0] : undefined;
  if (pattern?.op !== 'value' || typeof pattern.args !== 'string') {
    throw new Error("matches needs a text before it and a literal pattern: self.name.matches('^a+$')");
  }
  expressionFor(pattern.args);
  node.args[0] = 'matchesInLinearTime';
}

/** The fields of these variables that an expression names; `all` where it uses them as a whole. */
function readBy(root: ASTNode, names: readonly string[]): ReadonlyMap<string, Read> {
  const read = new Map<string, MutableRead>();
  const visit = (node: unknown): void => {
    const path = isNode(node) ? pathOf(node, names) : undefined;
    if (path) addPath(read, path);
    else for (const child of childrenOf(node)) visit(child);
  };
  visit(root);
  return read;
}

type MutableRead = 'all' | Map<string, MutableRead>;

/** `['self', 'a', 'b']` for `self.a.b`. */
function pathOf(node: ASTNode, names: readonly string[]): string[] | undefined {
  if (node.op === 'id') return names.includes(node.args) ? [node.args] : undefined;
  if (node.op !== '.') return undefined;
  const parent = pathOf(node.args[0], names);
  return parent && [...parent, node.args[1]];
}

function addPath(read: Map<string, MutableRead>, path: readonly string[]): void {
  const [name = '', ...rest] = path;
  const known = read.get(name);
  if (known === 'all') return;
  if (rest.length === 0) {
    read.set(name, 'all');
    return;
  }
  const below = known ?? new Map<string, MutableRead>();
  read.set(name, below);
  addPath(below, rest);
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value;
}

function childrenOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return isNode(value) && value.op !== 'value' ? [value.args] : [];
}

/** The value that `oldSelf` has. */
export function oldValue(
  oldSelf: unknown,
  { schema, read, isOptional }: { schema: CelSchema; read: Read; isOptional: boolean },
): unknown {
  if (!isOptional) return oldSelf === undefined ? null : toCel(oldSelf, schema, read);
  // An optional is read through its methods, so all of it may be read.
  return oldSelf === undefined ? Optional.none() : Optional.of(toCel(oldSelf, schema, 'all'));
}
