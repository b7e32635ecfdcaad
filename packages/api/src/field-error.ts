import type { FieldError } from './status-error.ts';

/** Field errors worded as Kubernetes words them (apimachinery `field.Error`). The path comes first, always. */
export const fieldRequired = (field: string, detail: string): FieldError => ({
  reason: 'FieldValueRequired',
  field,
  message: `Required value: ${detail}`,
});

export const fieldInvalid = (field: string, value: unknown, detail: string): FieldError => ({
  reason: 'FieldValueInvalid',
  field,
  message: `Invalid value: ${quote(value)}: ${detail}`,
});

/** A value of another type. */
export const fieldTypeInvalid = (field: string, value: unknown, detail: string): FieldError => ({
  ...fieldInvalid(field, value, detail),
  reason: 'FieldValueTypeInvalid',
});

export const fieldForbidden = (field: string, detail: string): FieldError => ({
  reason: 'FieldValueForbidden',
  field,
  message: `Forbidden: ${detail}`,
});

export const fieldDuplicate = (field: string, value: unknown, detail?: string): FieldError => ({
  reason: 'FieldValueDuplicate',
  field,
  message: `Duplicate value: ${quote(value)}${detail === undefined ? '' : `: ${detail}`}`,
});

export const fieldTooLong = (field: string, detail: string): FieldError => ({
  reason: 'FieldValueTooLong',
  field,
  message: `Too long: ${detail}`,
});

export const fieldNotSupported = (
  field: string,
  value: unknown,
  supported: readonly string[],
): FieldError => ({
  reason: 'FieldValueNotSupported',
  field,
  message: `Unsupported value: ${quote(value)}: supported values: ${supported.map((s) => `"${s}"`).join(', ')}`,
});

/** JSON, cut where it is long: a message is no place for a whole manifest. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}
