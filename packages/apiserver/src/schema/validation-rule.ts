import type { FieldError } from '@selvedge/api';
import type { JsonSchema } from '../resource-definition.ts';

/** One entry of `x-kubernetes-validations`, as in a CustomResourceDefinition. */
export interface ValidationRule {
  /** CEL, over `self` and, on updates, `oldSelf`; false refuses the object. */
  readonly rule: string;
  /** What to do, for the person who wrote the object. */
  readonly message?: string;
  /** CEL that makes the message; when it fails, `message` is given. */
  readonly messageExpression?: string;
  readonly reason?: RuleReason;
  /** Field that is to blame, below that which has the rule: `.spec.size`. */
  readonly fieldPath?: string;
  /** The rule is also asked where there is no old value; `oldSelf` is then an optional. */
  readonly optionalOldSelf?: boolean;
}

export type RuleReason = Extract<
  FieldError['reason'],
  'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired' | 'FieldValueDuplicate'
>;

const known = new Set(['rule', 'message', 'messageExpression', 'reason', 'fieldPath', 'optionalOldSelf']);
const reasons = new Set([
  'FieldValueInvalid',
  'FieldValueForbidden',
  'FieldValueRequired',
  'FieldValueDuplicate',
]);

/** The rules that a schema has. Throws a plain Error for what is none: a fault of the program, found at its start. */
export function readValidationRules(schema: JsonSchema, path: string): readonly ValidationRule[] {
  const rules = (schema['x-kubernetes-validations'] ?? []) as readonly ValidationRule[];
  for (const rule of rules) {
    const unknown = Object.keys(rule).find((field) => !known.has(field));
    if (unknown !== undefined) throw new Error(`${path}: a validation rule has no field ${unknown}`);
    if (typeof rule.rule !== 'string') throw new Error(`${path}: a validation rule has no rule`);
    if (rule.reason !== undefined && !reasons.has(rule.reason)) {
      throw new Error(`${path}: a validation rule has the reason ${rule.reason}`);
    }
    if (rule.fieldPath !== undefined && !/^(\.\w+)+$/.test(rule.fieldPath)) {
      throw new Error(`${path}: the fieldPath of a validation rule must be as .a.b, not ${rule.fieldPath}`);
    }
  }
  return rules;
}
