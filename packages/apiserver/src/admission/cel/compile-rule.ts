import { type FieldError, fieldDuplicate, fieldForbidden, fieldInvalid, fieldRequired } from '@selvedge/api';
import { compileExpression, type Expression, oldValue, toCel } from '@selvedge/api/cel';
import type { StructuralSchema } from '../../schema/structural-schema.ts';
import type { RuleReason, ValidationRule } from '../../schema/validation-rule.ts';

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
  const { times } = place;
  const common = { schema, times, hasOptionalOldSelf: rule.optionalOldSelf === true };
  const condition = compileExpression(rule.rule, { ...common, type: 'bool' });
  const { messageExpression } = rule;
  if (messageExpression !== undefined && !mayQuote) {
    throw new Error('a sensitive kind cannot have a messageExpression');
  }
  const wording =
    messageExpression === undefined
      ? undefined
      : compileExpression(messageExpression, { ...common, type: 'string' });
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
