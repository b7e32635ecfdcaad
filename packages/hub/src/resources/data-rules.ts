import {
  type ConfigMap,
  type FieldError,
  fieldForbidden,
  fieldInvalid,
  fieldTooLong,
  type Secret,
} from '@selvedge/api';
import { isDeepStrictEqual } from 'node:util';

/** As Kubernetes: keys have to be file names. */
const dataKey = /^[-._a-zA-Z0-9]{1,253}$/;
const dataLimitBytes = 1024 * 1024;

export function validateKeys(data: Record<string, string> | undefined, path: string): FieldError[] {
  return Object.keys(data ?? {})
    .filter((key) => !dataKey.test(key) || key === '.' || key === '..')
    .map((key) =>
      fieldInvalid(
        `${path}[${key}]`,
        key,
        "a key must consist of letters, digits, '-', '_' or '.', at most 253 of them",
      ),
    );
}

/** Base64 counts as the bytes that it stands for. */
export function validateSize(values: {
  texts?: readonly string[];
  base64?: readonly string[];
}): FieldError[] {
  const { texts = [], base64 = [] } = values;
  const bytes =
    texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) +
    base64.reduce((sum, text) => sum + Buffer.byteLength(text, 'base64'), 0);
  return bytes > dataLimitBytes ? [fieldTooLong('data', `must have at most ${dataLimitBytes} bytes`)] : [];
}

/** What an object that says `immutable: true` may not have changed. */
export function validateImmutable(
  object: ConfigMap | Secret,
  previous: ConfigMap | Secret | undefined,
): FieldError[] {
  if (previous?.immutable !== true) return [];
  const fields = ['immutable', 'data', 'binaryData'] as const;
  return fields
    .filter((field) => !isDeepStrictEqual(object[field], previous[field]))
    .map((field) =>
      fieldForbidden(field, 'the object is immutable: delete it and make it again to change it'),
    );
}
