import {
  badRequest,
  copyJson,
  fieldInvalid,
  fieldOf,
  invalid,
  isObject,
  type JsonObject,
  type KubeObject,
  type ObjectName,
} from '@selvedge/api';
import { applyJsonPatch, mergePatch } from '@selvedge/api/patch';
import { withIdentity } from '../admission/identity.ts';
import { dropUnknownFields } from '../admission/strict-fields.ts';
import type { ResourceDefinition } from '../resource-definition.ts';
import { validate } from '../schema/validate.ts';
import { getObject } from './get.ts';
import type { PatchType } from './patch.ts';
import type { Registry, WriteOptions } from './registry.ts';
import { type Resource, toResource } from './resource-catalog.ts';
import { changeObject } from './update.ts';

const integer = (description: string) => ({ type: 'integer', format: 'int32', description }) as const;
const replicasOf = (part: 'spec' | 'status') => (object: KubeObject) => {
  const value = isObject(object[part]) ? object[part]['replicas'] : undefined;
  return typeof value === 'number' ? value : undefined;
};

const scaleDefinition: ResourceDefinition = {
  ref: { group: 'autoscaling', version: 'v1', plural: 'scales', kind: 'Scale', namespaced: true },
  singular: 'scale',
  description: 'How many replicas an object is to have, whatever its kind calls it.',
  statusSubresource: false,
  schema: {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        description: 'What is wanted.',
        properties: { replicas: integer('How many there are to be.') },
      },
      status: {
        type: 'object',
        description: 'What is.',
        properties: {
          replicas: integer('How many there are.'),
          selector: { type: 'string', description: 'Label selector of the replicas.' },
        },
      },
    },
  },
  columns: [
    { name: 'Desired', type: 'integer', description: 'How many are wanted.', value: replicasOf('spec') },
    { name: 'Available', type: 'integer', description: 'How many there are.', value: replicasOf('status') },
  ],
};

/** `autoscaling/v1 Scale`, the form in which every kind that has replicas is scaled. */
export const scaleResource: Resource = toResource(scaleDefinition);

export async function readScale(
  registry: Registry,
  resource: Resource,
  target: ObjectName,
): Promise<KubeObject> {
  return scaleOf(resource, await getObject(registry, resource, target));
}

export interface ScaleRequest {
  readonly target: ObjectName;
  readonly options: WriteOptions;
}

/** With a `metadata.resourceVersion` only on that state of the object. */
export async function updateScale(
  registry: Registry,
  resource: Resource,
  { body, ...request }: ScaleRequest & { body: unknown },
): Promise<KubeObject> {
  return changeScale(registry, resource, { ...request, change: () => body });
}

export async function patchScale(
  registry: Registry,
  resource: Resource,
  { type, patch, ...request }: ScaleRequest & { type: PatchType; patch: unknown },
): Promise<KubeObject> {
  if (type !== 'json' && !isObject(patch)) throw badRequest('the patch must be an object');
  // A Scale has no lists, so a strategic merge patch is a merge patch.
  const change = (scale: KubeObject) =>
    type === 'json' ? applyJsonPatch(scale, patch) : mergePatch(scale, patch);
  return changeScale(registry, resource, { ...request, change });
}

async function changeScale(
  registry: Registry,
  resource: Resource,
  { target, options, change }: ScaleRequest & { change: (scale: KubeObject) => unknown },
): Promise<KubeObject> {
  const changed = await changeObject(registry, resource, {
    target,
    part: 'main',
    subresource: 'scale',
    options,
    retry: true,
    change: (current) => {
      const wanted = copyJson(withIdentity(scaleResource, change(scaleOf(resource, current)), target));
      dropUnknownFields(scaleResource, wanted, options);
      const { resourceVersion, uid } = wanted.metadata;
      setPath(current, pathsOf(resource).specReplicasPath, replicasWanted(wanted));
      return { ...current, metadata: withPreconditions(current.metadata, { resourceVersion, uid }) };
    },
  });
  return scaleOf(resource, changed);
}

/** What the Scale says of the state that it was read from holds for the object. */
function withPreconditions(
  metadata: KubeObject['metadata'],
  { resourceVersion, uid }: { resourceVersion: string | undefined; uid: string | undefined },
): KubeObject['metadata'] {
  const { resourceVersion: _resourceVersion, uid: _uid, ...others } = metadata;
  return { ...others, ...(resourceVersion ? { resourceVersion } : {}), ...(uid ? { uid } : {}) };
}

function replicasWanted(scale: KubeObject): number {
  const errors = validate(scale, scaleResource.schema, { isSensitive: false });
  const replicas = replicasOf('spec')(scale) ?? 0;
  if (errors.length === 0 && replicas < 0) {
    errors.push(fieldInvalid('spec.replicas', replicas, 'must be greater than or equal to 0'));
  }
  if (errors.length > 0) throw invalid(scaleResource.ref, scale.metadata.name, errors);
  return replicas;
}

function scaleOf(resource: Resource, object: KubeObject): KubeObject {
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = pathsOf(resource);
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = labelSelectorPath === undefined ? undefined : valueAt(object, labelSelectorPath);
  return copyJson({
    kind: scaleResource.ref.kind,
    apiVersion: scaleResource.apiVersion,
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as KubeObject['metadata'],
    spec: { replicas: numberAt(object, specReplicasPath) },
    status: {
      replicas: numberAt(object, statusReplicasPath),
      ...(typeof selector === 'string' ? { selector } : {}),
    },
  });
}

function pathsOf({ definition, name }: Resource): NonNullable<ResourceDefinition['scale']> {
  if (!definition.scale) throw badRequest(`${name} has no scale subresource`);
  return definition.scale;
}

const segmentsOf = (path: string): string[] => path.split('.').filter((segment) => segment !== '');

function valueAt(object: KubeObject, path: string): unknown {
  return segmentsOf(path).reduce<unknown>(
    (value, segment) => (isObject(value) ? fieldOf(value, segment) : undefined),
    object,
  );
}

function numberAt(object: KubeObject, path: string): number {
  const value = valueAt(object, path);
  return typeof value === 'number' ? value : 0;
}

/** Changes the object in place. */
function setPath(object: KubeObject, path: string, value: number): void {
  const segments = segmentsOf(path);
  const last = segments.pop() ?? '';
  let place: JsonObject = object;
  for (const segment of segments) {
    const next = fieldOf(place, segment);
    const child: JsonObject = isObject(next) ? next : {};
    place[segment] = child;
    place = child;
  }
  place[last] = value;
}
