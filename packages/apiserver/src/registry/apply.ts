import {
  badRequest,
  fieldForbidden,
  invalid,
  isAlreadyExists,
  isNotFound,
  type KubeObject,
  notFound,
  type ObjectName,
} from '@selvedge/api';
import { withIdentity } from '../admission/identity.ts';
import { dropUnknownFields } from '../admission/strict-fields.ts';
import { applyConfiguration } from '../managed-fields/apply.ts';
import type { ManagerIdentity } from '../managed-fields/managers.ts';
import { copyJson } from '../schema/json-value.ts';
import { createTracked, nowText } from './create.ts';
import { keyOf } from './object-codec.ts';
import { refuseVirtual } from './refuse-virtual.ts';
import type { Registry, WriteOptions } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { changeObject } from './update.ts';

export interface ApplyObjectRequest {
  readonly target: ObjectName;
  readonly body: unknown;
  readonly part: 'main' | 'status';
  readonly force: boolean;
  readonly options: WriteOptions;
}

const maxAttempts = 5;

export interface Applied {
  readonly object: KubeObject;
  readonly isNew: boolean;
}

/** Server-side apply; makes the object when there is none. */
export async function applyObject(
  registry: Registry,
  resource: Resource,
  request: ApplyObjectRequest,
): Promise<Applied> {
  refuseVirtual(resource, 'patch');
  const applied = configurationOf(resource, request);
  for (let attempt = 1; ; attempt++) {
    const { namespace, name } = request.target;
    const isThere = (await registry.store.find(keyOf(resource, namespace, name))) !== undefined;
    const { uid, resourceVersion } = applied.metadata;
    const mayCreate = request.part === 'main' && !uid && !resourceVersion;
    if (!isThere && !mayCreate) throw notFound(resource.ref, name);
    try {
      const apply = isThere ? applyToLive : applyToNew;
      return { object: await apply(registry, resource, { request, applied }), isNew: !isThere };
    } catch (error) {
      // Somebody else made or deleted it just now: apply to what is there now.
      const isOvertaken = isThere ? mayCreate && isNotFound(error) : isAlreadyExists(error);
      if (!isOvertaken || attempt === maxAttempts) throw error;
    }
  }
}

interface Application {
  readonly request: ApplyObjectRequest;
  readonly applied: KubeObject;
}

function configurationOf(
  resource: Resource,
  { target, body, options, part }: ApplyObjectRequest,
): KubeObject {
  const applied = copyJson(withIdentity(resource, body, target));
  if (options.fieldManager === '') throw badRequest('fieldManager is required for apply patch');
  if (applied.metadata.managedFields?.length) {
    const fault = fieldForbidden('metadata.managedFields', 'must be empty in an applied configuration');
    throw invalid(resource.ref, target.name, [fault]);
  }
  dropUnknownFields(resource, applied, options);
  if (part === 'main' && resource.definition.statusSubresource) delete applied['status'];
  if (part === 'main') return applied;
  const { apiVersion, kind, metadata } = applied;
  const identity = { name: metadata.name, ...(metadata.namespace ? { namespace: metadata.namespace } : {}) };
  return {
    apiVersion,
    kind,
    metadata: identity,
    ...('status' in applied ? { status: applied['status'] } : {}),
  };
}

function managerOf(resource: Resource, { options, part }: ApplyObjectRequest): ManagerIdentity {
  return {
    manager: options.fieldManager,
    operation: 'Apply',
    apiVersion: resource.apiVersion,
    ...(part === 'status' ? { subresource: 'status' } : {}),
  };
}

async function applyToNew(registry: Registry, resource: Resource, { request, applied }: Application) {
  const { apiVersion, kind, metadata } = applied;
  const live: KubeObject = { apiVersion, kind, metadata: { name: metadata.name } };
  const { schema } = resource;
  const manager = managerOf(resource, request);
  const options = { ...request.options, fieldValidation: 'Ignore' as const };
  return createTracked(registry, resource, {
    object: copyJson(applied),
    options,
    track: (_, now) =>
      applyConfiguration({ live, applied, schema, manager, force: request.force, now }).metadata
        .managedFields,
  });
}

async function applyToLive(registry: Registry, resource: Resource, { request, applied }: Application) {
  const { schema } = resource;
  const manager = managerOf(resource, request);
  let managedFields: KubeObject['metadata']['managedFields'];
  return changeObject(registry, resource, {
    target: request.target,
    part: request.part,
    options: { ...request.options, fieldValidation: 'Ignore' },
    retry: true,
    change: (live) => {
      const now = nowText(registry);
      const result = applyConfiguration({ live, applied, schema, manager, force: request.force, now });
      managedFields = result.metadata.managedFields;
      return result;
    },
    track: () => managedFields,
  });
}
