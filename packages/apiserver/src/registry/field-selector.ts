import { badRequest, type KubeObject } from '@selvedge/api';
import type { Resource } from './resource-catalog.ts';

/** What a selector looks at; the whole object only when it has to. */
export interface Selectable {
  readonly namespace: string;
  readonly name: string;
  readonly labels: KubeObject['metadata']['labels'];
  parse(): KubeObject;
}

const maxShown = 200;

interface FieldRequirement {
  readonly read: (object: Selectable, parsed: () => KubeObject) => string;
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
      // The client's text: no two parts may match the same characters, or it could take hours.
      const match = /^([^=!\s]+)\s*(==|=|!=)([^]*)$/.exec(term.trim());
      const [, field = '', operator = '', value = ''] = match ?? [];
      if (!match) {
        const shown = term.slice(0, maxShown);
        throw badRequest(`invalid field selector: "${shown}" must be as field=value or field!=value`);
      }
      return { field, value: value.trim(), equal: operator !== '!=', read: readerOf(field, resource) };
    });
}

function readerOf(field: string, resource: Resource): FieldRequirement['read'] {
  if (field === 'metadata.name') return (object) => object.name;
  if (field === 'metadata.namespace') return (object) => object.namespace;
  const fields = resource.definition.selectableFields ?? {};
  const read = Object.hasOwn(fields, field) ? fields[field] : undefined;
  if (read) return (_, parsed) => read(parsed());
  const known = ['metadata.name', 'metadata.namespace', ...Object.keys(fields)];
  throw badRequest(
    `field label not supported: ${field}; ${resource.name} can be selected by ${known.join(', ')}`,
  );
}

export function matchesFields(object: Selectable, requirements: readonly FieldRequirement[]): boolean {
  let known: KubeObject | undefined;
  const parsed = () => (known ??= object.parse());
  return requirements.every(({ read, value, equal }) => (read(object, parsed) === value) === equal);
}

/** The value that the selector asks this field to have, when it asks for exactly one. */
export function findExactValue(
  requirements: readonly FieldRequirement[],
  field: 'metadata.name' | 'metadata.namespace',
): string | undefined {
  return requirements.find((r) => r.field === field && r.equal)?.value;
}
