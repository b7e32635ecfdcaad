import { badRequest, type KubeObject } from '@selvedge/api';
import type { WriteOptions } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { prune } from '../schema/prune.ts';

const maxNamed = 20;

/** Drops unknown fields of what a client sent, in place: with an error, a warning or in silence, as it asked. */
export function dropUnknownFields(
  resource: Resource,
  object: KubeObject,
  options: Pick<WriteOptions, 'fieldValidation' | 'warn'>,
): void {
  const faults = prune(object, resource.schema, resource.isBuiltIn ? 'built-in' : 'custom')
    .slice(0, maxNamed)
    .map((path) => `unknown field "${path}"`);
  if (options.fieldValidation === 'Strict') refuseStrictly(resource, faults);
  if (options.fieldValidation === 'Warn') for (const fault of faults) options.warn(fault);
}

/** Worded as Kubernetes does. */
export function refuseStrictly(resource: Resource, faults: readonly string[]): void {
  if (faults.length === 0) return;
  const { kind, version } = resource.ref;
  throw badRequest(
    `${kind} in version "${version}" cannot be handled as a ${kind}: strict decoding error: ${faults.join(', ')}`,
  );
}
