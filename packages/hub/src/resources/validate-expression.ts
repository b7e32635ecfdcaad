import { type FieldError, fieldInvalid } from '@selvedge/api';
import { checkMachineExpression } from '../machines/machine-expression.ts';

/** CEL over `machine` and `inventory`. */
export function validateExpression(text: string | undefined, path: string): FieldError[] {
  if (text === undefined) return [];
  try {
    checkMachineExpression(text);
    return [];
  } catch (error) {
    return [fieldInvalid(path, text, (error as Error).message)];
  }
}
