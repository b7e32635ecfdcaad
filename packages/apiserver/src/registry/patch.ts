import {
  badRequest,
  isObject,
  type JsonObject,
  type KubeObject,
  type ObjectName,
  StatusError,
} from '@selvedge/api';
import { applyJsonPatch, mergePatch, strategicMergePatch } from '@selvedge/api/patch';
import { withIdentity } from '../admission/identity.ts';
import { refuseVirtual } from './refuse-virtual.ts';
import type { Registry, WriteOptions } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { changeObject } from './update.ts';

export const patchTypes = ['json', 'merge', 'strategic'] as const;
export type PatchType = (typeof patchTypes)[number];

export interface PatchRequest {
  readonly target: ObjectName;
  readonly type: PatchType;
  readonly patch: unknown;
  readonly part: 'main' | 'status';
  readonly options: WriteOptions;
}

export async function patchObject(
  registry: Registry,
  resource: Resource,
  request: PatchRequest,
): Promise<KubeObject> {
  refuseVirtual(resource, 'patch');
  const { target, type, patch, part, options } = request;
  if (type === 'strategic' && !resource.definition.strategicMergePatch) throw unsupportedPatch(resource);
  if (type !== 'json' && !isObject(patch)) throw badRequest('the patch must be an object');
  const change = (current: KubeObject) =>
    withIdentity(resource, patched(resource, current, { type, patch }), target);
  return changeObject(registry, resource, { target, part, options, change, retry: true });
}

function patched(
  resource: Resource,
  current: KubeObject,
  { type, patch }: Pick<PatchRequest, 'type' | 'patch'>,
): unknown {
  switch (type) {
    case 'json':
      return applyJsonPatch(current, patch);
    case 'merge':
      return mergePatch(current, patch);
    case 'strategic':
      return strategicMergePatch(current, patch as JsonObject, resource.schema);
  }
}

function unsupportedPatch(resource: Resource): StatusError {
  const supported = 'application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml';
  return new StatusError(
    'UnsupportedMediaType',
    `strategic merge patch is not supported on ${resource.name}; supported are ${supported}`,
  );
}
