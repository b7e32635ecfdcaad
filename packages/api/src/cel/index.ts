/**
 * CEL (Common Expression Language) with a bound on what it costs: rules in schemas, health rules of Applications. A door of its
 * own, so that only who needs it loads the language: agents `await import('@selvedge/api/cel')`.
 */
export type { CelSchema } from './cel-schema.ts';
export { celName, toCel } from './cel-value.ts';
export { compileCondition, compileConditionOver, type Condition, type ConditionOver } from './condition.ts';
export { compileExpression, type Expression, oldValue } from './expression.ts';
export { LinearRegExp } from './linear-regexp.ts';
export { maxRuleCost, timesOf } from './rule-cost.ts';
