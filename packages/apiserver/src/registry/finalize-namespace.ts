import {
  faultOfLabelKey,
  fieldInvalid,
  invalid,
  isObject,
  type KubeObject,
  type ObjectName,
} from '@selvedge/api';
import { isHeld } from '../admission/namespace-object.ts';
import { checkPreconditions, type UpdateRequest } from './update.ts';
import { getObject } from './get.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { storeChanged, storeRemoved } from './store-object.ts';

export interface FinalizeRequest extends Pick<UpdateRequest, 'options'> {
  readonly target: ObjectName;
  readonly body: KubeObject;
}

/**
 * Sets `spec.finalizers` of a namespace, nothing else: the only way to do it. A namespace that is being deleted goes
 * with the last of them, whatever is still in it.
 */
export async function finalizeNamespace(
  registry: Registry,
  resource: Resource,
  { target, body, options }: FinalizeRequest,
): Promise<KubeObject> {
  const finalizers = finalizersOf(resource, body);
  const current = await getObject(registry, resource, target);
  checkPreconditions(resource, current, body);
  const spec = isObject(current['spec']) ? current['spec'] : {};
  const object: KubeObject = { ...current, spec: { ...spec, finalizers } };
  const isDone = object.metadata.deletionTimestamp !== undefined && !isHeld(resource, object);
  const store = isDone ? storeRemoved : storeChanged;
  return store(registry, resource, { object, dryRun: options.dryRun });
}

function finalizersOf(resource: Resource, body: KubeObject): string[] {
  const spec = isObject(body['spec']) ? body['spec'] : {};
  const finalizers: unknown[] = Array.isArray(spec['finalizers']) ? spec['finalizers'] : [];
  const errors = finalizers.flatMap((finalizer, i) => {
    const fault = typeof finalizer === 'string' ? faultOfLabelKey(finalizer) : 'must be a string';
    return fault ? [fieldInvalid(`spec.finalizers[${i}]`, finalizer, fault)] : [];
  });
  if (errors.length > 0) throw invalid(resource.ref, body.metadata.name, errors);
  return finalizers as string[];
}
