import { type KubeObject, matchesRequirements, parseLabelSelector } from '@selvedge/api';
import { findExactName, matchesFields, parseFieldSelector } from './field-selector.ts';
import type { Resource } from './resource-catalog.ts';

/** Label and field selector of a list or watch. */
export interface Selection {
  readonly matches: (object: KubeObject) => boolean;
  readonly selectsAll: boolean;
  /** Set when at most one name can match. */
  readonly exactName: string | undefined;
}

export function parseSelection(
  resource: Resource,
  text: { labelSelector?: string | undefined; fieldSelector?: string | undefined },
): Selection {
  const labels = parseLabelSelector(text.labelSelector ?? '');
  const fields = parseFieldSelector(text.fieldSelector ?? '', resource);
  return {
    matches: (object) => matchesRequirements(object.metadata.labels, labels) && matchesFields(object, fields),
    selectsAll: labels.length === 0 && fields.length === 0,
    exactName: findExactName(fields),
  };
}
