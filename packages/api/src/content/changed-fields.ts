import { fieldOf, isObject } from '../json-value.ts';

/** More than this nobody reads. */
const maxFields = 20;

/** Where two values differ, as `spec.template.spec.containers[0].image`; a list of another length is named as a whole. */
export function changedFields(before: unknown, after: unknown): string[] {
  const fields: string[] = [];
  collect(before, after, { path: '', fields });
  if (fields.length <= maxFields) return fields;
  return [...fields.slice(0, maxFields), `and ${fields.length - maxFields} more`];
}

function collect(before: unknown, after: unknown, found: { path: string; fields: string[] }): void {
  const { path, fields } = found;
  if (before === after) return;
  if (isObject(before) && isObject(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const child = /^[A-Za-z_][\w-]*$/.test(name)
        ? `${path === '' ? '' : `${path}.`}${name}`
        : `${path}[${name}]`;
      collect(fieldOf(before, name), fieldOf(after, name), { path: child, fields });
    }
  } else if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    for (const [index, item] of before.entries()) {
      collect(item, after[index], { path: `${path}[${index}]`, fields });
    }
  } else fields.push(path);
}
