import type { KubeObject } from '@selvedge/api';
import { fieldOf } from '../../drift/json-pointer.ts';
import { managedFieldsOf } from '../../drift/field-set.ts';
import { groupOf } from '../../release/apply-phase.ts';
import { stripMetadata } from './strip-metadata.ts';
import { stripFields } from './strip-spec.ts';
import { without } from './without-defaults.ts';

/**
 * An object of a cluster as a manifest for others: without what belongs to that cluster alone, and without fields that only repeat what every API
 * server adds. docs/guides/mirror.md lists both. Pure; a manifest that was applied comes back as it was written.
 * @param namespace that the manifest is to name; absent: none.
 */
export function stripObject(object: KubeObject, namespace?: string): KubeObject {
  const { apiVersion, kind, metadata, ...fields } = object;
  const { name, ...rest } = stripMetadata({ ...metadata });
  const stripped = stripFields(fields, { group: groupOf(apiVersion), kind });
  const manifest: KubeObject = {
    ...stripped,
    apiVersion,
    kind,
    metadata: { name: String(name), ...(namespace === undefined ? {} : { namespace }), ...rest },
  };
  return isScaledByProgram(object) ? withoutReplicas(manifest) : manifest;
}

/** How many there are is the business of an autoscaler there. */
export function withoutReplicas(manifest: KubeObject): KubeObject {
  const spec = manifest['spec'];
  if (fieldOf(spec, 'replicas') === undefined) return manifest;
  return { ...manifest, spec: without(spec as Record<string, unknown>, ['replicas']) };
}

/** The number of replicas was set last through `scale` by something that is no kubectl: an autoscaler. */
function isScaledByProgram(object: KubeObject): boolean {
  return managedFieldsOf(object).some(
    ({ manager, subresource, fields }) =>
      subresource === 'scale' &&
      !manager.startsWith('kubectl') &&
      fieldOf(fieldOf(fields, 'f:spec'), 'f:replicas') !== undefined,
  );
}
