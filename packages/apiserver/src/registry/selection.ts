import { type KubeObject, matchesRequirements, parseLabelSelector } from '@selvedge/api';
import { findExactValue, matchesFields, parseFieldSelector, type Selectable } from './field-selector.ts';
import type { Resource } from './resource-catalog.ts';

/** Label and field selector of a list or watch. */
export interface Selection {
  readonly matches: (object: Selectable) => boolean;
  readonly selectsAll: boolean;
  /** Set when at most one name can match. */
  readonly exactName: string | undefined;
  /** Set when at most one namespace can match. */
  readonly exactNamespace: string | undefined;
}

export function parseSelection(
  resource: Resource,
  text: { labelSelector?: string | undefined; fieldSelector?: string | undefined },
): Selection {
  const labels = parseLabelSelector(text.labelSelector ?? '');
  const fields = parseFieldSelector(text.fieldSelector ?? '', resource);
  return {
    matches: (object) =>
      (labels.length === 0 || matchesRequirements(object.labels, labels)) && matchesFields(object, fields),
    selectsAll: labels.length === 0 && fields.length === 0,
    exactName: findExactValue(fields, 'metadata.name'),
    exactNamespace: findExactValue(fields, 'metadata.namespace'),
  };
}

/** An object that is there as a tree. */
export function selectable(object: KubeObject): Selectable {
  const { namespace = '', name, labels } = object.metadata;
  return { namespace, name, labels, parse: () => object };
}
