import { type ASTNode, Environment, Optional, serialize } from '@marcbachmann/cel-js';
import { type FieldError, fieldDuplicate, fieldForbidden, fieldInvalid, fieldRequired } from '@selvedge/api';
import type { StructuralSchema } from '../../schema/structural-schema.ts';
import type { RuleReason, ValidationRule } from '../../schema/validation-rule.ts';
import { typedEnvironment } from './cel-types.ts';
import { type Read, toCel } from './cel-value.ts';
import { LinearRegExp } from './linear-regexp.ts';
import { costOf, maxRuleCost } from './rule-cost.ts';

export interface CompiledRule {
  /** What is wrong, with the rule's field below `path`; `undefined`: nothing, or there is no old value to compare with. */
  check(self: unknown, oldSelf: unknown, path: string): FieldError | undefined;
}

export interface RulePlace {
  readonly schema: StructuralSchema;
  /** Where the rule stands, for messages to the programmer. */
  readonly name: string;
  /** On how many values of one object it is asked at worst. */
  readonly times: number;
  /** Whether a value can be followed from one state of the object to the next. */
  readonly hasOldSelf: boolean;
  /** Messages may be made from the value. */
  readonly mayQuote: boolean;
}

/** Throws a plain Error that names the place and the rule. */
export function compileRule(rule: ValidationRule, place: RulePlace): CompiledRule {
  try {
    return compile(rule, place);
  } catch (cause) {
    const why = firstLine(cause);
    throw new Error(`the validation rule of ${place.name} cannot be used: ${rule.rule}: ${why}`, { cause });
  }
}

function compile(rule: ValidationRule, place: RulePlace): CompiledRule {
  const { schema, hasOldSelf, mayQuote } = place;
  const condition = compileExpression(rule.rule, { type: 'bool', rule, place });
  const { messageExpression } = rule;
  if (messageExpression !== undefined && !mayQuote) {
    throw new Error('a sensitive kind cannot have a messageExpression');
  }
  const wording =
    messageExpression === undefined
      ? undefined
      : compileExpression(messageExpression, { type: 'string', rule, place });
  const comparesOld = condition.read.has('oldSelf');
  if (comparesOld && !hasOldSelf) throw new Error('items of this list have no oldSelf');
  return {
    check: (self, oldSelf, path) => {
      const isOptional = rule.optionalOldSelf === true;
      if (comparesOld && !isOptional && oldSelf === undefined) return undefined;
      const valuesFor = ({ read }: Expression) => ({
        self: toCel(self, schema, read.get('self') ?? new Map()),
        oldSelf: oldValue(oldSelf, { schema, read: read.get('oldSelf') ?? new Map(), isOptional }),
      });
      const where = `${path}${rule.fieldPath ?? ''}`.replace(/^\./, '');
      try {
        if (condition.evaluate(valuesFor(condition)) === true) return undefined;
      } catch (error) {
        return refusal(where, schema, { ...rule, message: `${messageOf(rule)} (${firstLine(error)})` });
      }
      const message = wording && findText(() => wording.evaluate(valuesFor(wording)));
      return refusal(where, schema, { ...rule, message: message ?? messageOf(rule) });
    },
  };
}

interface Expression {
  readonly evaluate: (values: { self: unknown; oldSelf: unknown }) => unknown;
  /** What it reads of `self` and `oldSelf`. */
  readonly read: ReadonlyMap<string, Read>;
}

/** Knows no types: values have the right ones, and the rule has been checked before. */
const evaluation = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true })
  .registerVariable('self', 'dyn')
  .registerVariable('oldSelf', 'dyn')
  .registerFunction('string.matchesInLinearTime(string): bool', (text: string, pattern: string) =>
    expressionFor(pattern).test(text),
  );

/** Filled when rules are compiled, so it is as large as the program has patterns. */
const expressions = new Map<string, LinearRegExp>();

function expressionFor(pattern: string): LinearRegExp {
  const expression = expressions.get(pattern) ?? new LinearRegExp(pattern);
  expressions.set(pattern, expression);
  return expression;
}

function compileExpression(
  text: string,
  { type, rule, place }: { type: string; rule: ValidationRule; place: RulePlace },
): Expression {
  const environment = typedEnvironment(place.schema, { hasOptionalOldSelf: rule.optionalOldSelf === true });
  const checked = environment.check(text);
  if (!checked.valid) throw checked.error ?? new Error('it is not valid');
  if (checked.type !== type) throw new Error(`it is a ${checked.type}, not a ${type}`);
  const { ast } = environment.parse(text);
  const scope = new Map([
    ['self', place.schema],
    ['oldSelf', place.schema],
  ]);
  const cost = Math.ceil(costOf(ast, scope) * place.times);
  if (cost > maxRuleCost) {
    throw new Error(
      `it may take ${cost} steps, more than ${maxRuleCost}: limit lists, maps and texts with maxItems, maxProperties and maxLength`,
    );
  }
  replaceMatches(ast);
  const evaluate = evaluation.parse(serialize(ast));
  return { evaluate: (values) => evaluate(values), read: readBy(ast) };
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

/** The fields of `self` and `oldSelf` that an expression names; `all` where it uses them as a whole. */
function readBy(root: ASTNode): ReadonlyMap<string, Read> {
  const read = new Map<string, MutableRead>();
  const visit = (node: unknown): void => {
    const path = isNode(node) ? pathOf(node) : undefined;
    if (path) addPath(read, path);
    else for (const child of childrenOf(node)) visit(child);
  };
  visit(root);
  return read;
}

type MutableRead = 'all' | Map<string, MutableRead>;

/** `['self', 'a', 'b']` for `self.a.b`. */
function pathOf(node: ASTNode): string[] | undefined {
  if (node.op === 'id') return node.args === 'self' || node.args === 'oldSelf' ? [node.args] : undefined;
  if (node.op !== '.') return undefined;
  const parent = pathOf(node.args[0]);
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

function oldValue(
  oldSelf: unknown,
  { schema, read, isOptional }: { schema: StructuralSchema; read: Read; isOptional: boolean },
): unknown {
  if (!isOptional) return oldSelf === undefined ? null : toCel(oldSelf, schema, read);
  // An optional is read through its methods, so all of it may be read.
  return oldSelf === undefined ? Optional.none() : Optional.of(toCel(oldSelf, schema, 'all'));
}

const messageOf = ({ message, rule }: ValidationRule): string => message ?? `failed rule: ${rule}`;

function findText(make: () => unknown): string | undefined {
  try {
    const text = make();
    return typeof text === 'string' && text.trim() !== '' && !text.includes('\n') ? text : undefined;
  } catch {
    return undefined;
  }
}

function refusal(path: string, schema: StructuralSchema, rule: ValidationRule): FieldError {
  const message = messageOf(rule);
  const make: Record<RuleReason, () => FieldError> = {
    FieldValueInvalid: () => fieldInvalid(path, schema.type, message),
    FieldValueForbidden: () => fieldForbidden(path, message),
    FieldValueRequired: () => fieldRequired(path, message),
    FieldValueDuplicate: () => fieldDuplicate(path, schema.type, message),
  };
  return make[rule.reason ?? 'FieldValueInvalid']();
}

/** Further lines show the expression. */
function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0] ?? text;
}
