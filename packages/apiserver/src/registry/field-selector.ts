import { badRequest, type KubeObject } from '@selvedge/api';
import type { Resource } from './resource-catalog.ts';

interface FieldRequirement {
  readonly read: (object: KubeObject) => string;
  readonly field: string;
  readonly value: string;
  readonly equal: boolean;
}

/** Reads `metadata.name=x,status.phase!=Running`. Throws `BadRequest` for fields that the kind cannot be selected by. */
export function parseFieldSelector(text: string, resource: Resource): FieldRequirement[] {
  return text
    .split(',')
    .filter((term) => term.trim() !== '')
    .map((term) => {
      const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*?)\s*$/.exec(term);
      const [, field = '', operator = '', value = ''] = match ?? [];
      if (!match)
        throw badRequest(
          `invalid field selector "${text}": "${term}" must be as field=value or field!=value`,
        );
      return { field, value, equal: operator !== '!=', read: readerOf(field, resource) };
    });
}

function readerOf(field: string, resource: Resource): FieldRequirement['read'] {
  if (field === 'metadata.name') return (object) => object.metadata.name;
  if (field === 'metadata.namespace') return (object) => object.metadata.namespace ?? '';
  const fields = resource.definition.selectableFields ?? {};
  const read = Object.hasOwn(fields, field) ? fields[field] : undefined;
  if (read) return read;
  const known = ['metadata.name', 'metadata.namespace', ...Object.keys(fields)];
  throw badRequest(
    `field label not supported: ${field}; ${resource.name} can be selected by ${known.join(', ')}`,
  );
}

export function matchesFields(object: KubeObject, requirements: readonly FieldRequirement[]): boolean {
  return requirements.every(({ read, value, equal }) => (read(object) === value) === equal);
}

/** The name that the selector asks for, when it asks for exactly one. */
export function findExactName(requirements: readonly FieldRequirement[]): string | undefined {
  return requirements.find((r) => r.field === 'metadata.name' && r.equal)?.value;
}
