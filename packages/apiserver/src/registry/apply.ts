import {
  badRequest,
  conflict,
  copyJson,
  type FieldError,
  fieldRequired,
  invalid,
  isAlreadyExists,
  isNotFound,
  isObject,
  type KubeObject,
  notFound,
  type ObjectName,
} from '@selvedge/api';
import { withIdentity } from '../admission/identity.ts';
import { authorize } from '../authorization/authorize.ts';
import { applyConfiguration } from '../managed-fields/apply.ts';
import { checkConfiguration } from '../managed-fields/check-configuration.ts';
import type { ManagerIdentity } from '../managed-fields/managers.ts';
import { findNulls } from '../schema/prune.ts';
import { setDefaults } from '../schema/set-defaults.ts';
import { validate } from '../schema/validate.ts';
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
  const application = readApplication(resource, request);
  const { namespace, name } = request.target;
  for (let attempt = 1; ; attempt++) {
    const isThere = (await registry.store.find(keyOf(resource, namespace, name))) !== undefined;
    if (!isThere) checkMayCreate(resource, application);
    try {
      const apply = isThere ? applyToLive : applyToNew;
      return { object: await apply(registry, resource, application), isNew: !isThere };
    } catch (error) {
      // Somebody else made or deleted it just now: apply to what is there now.
      const isOvertaken = isThere ? isNotFound(error) : isAlreadyExists(error);
      if (!isOvertaken || attempt === maxAttempts) throw error;
    }
  }
}

interface Application {
  readonly request: ApplyObjectRequest;
  /** As it was sent, but for what cannot be applied through this door. */
  readonly applied: KubeObject;
  /** With the name and namespace of the request. */
  readonly object: KubeObject;
}

function readApplication(resource: Resource, request: ApplyObjectRequest): Application {
  const { target, body, options, part } = request;
  if (options.fieldManager === '') {
    const fault = fieldRequired('fieldManager', 'is required for apply patch');
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions' }, '', [fault]);
  }
  checkType(resource, body);
  const object = withIdentity(resource, withName(body, target.name), target);
  if (object.metadata.managedFields !== undefined && object.metadata.managedFields !== null) {
    throw badRequest('metadata.managedFields must be nil');
  }
  const sent = withMetadata(copyJson(body as KubeObject));
  checkConfiguration(sent, resource.schema);
  return { request, applied: reachable(resource, sent, part), object: reachable(resource, object, part) };
}

function checkType({ apiVersion, ref }: Resource, body: unknown): void {
  if (!isObject(body)) return;
  const { apiVersion: sent, kind } = body;
  if (typeof sent !== 'string' || sent === '' || typeof kind !== 'string' || kind === '') return;
  if (sent === apiVersion && kind === ref.kind) return;
  throw badRequest(`invalid object type: ${sent.includes('/') ? sent : `/${sent}`}, Kind=${kind}`);
}

/** What is there has its name, whether it is said again or not. */
function withName(body: unknown, name: string): unknown {
  if (!isObject(body) || (body['metadata'] !== undefined && !isObject(body['metadata']))) return body;
  return { ...body, metadata: { name, ...body['metadata'] } };
}

const withMetadata = (object: KubeObject): KubeObject => ({ ...object, metadata: object.metadata ?? {} });

/** Without what the part that is written does not reach; nobody can own it through this door. */
function reachable(resource: Resource, object: KubeObject, part: 'main' | 'status'): KubeObject {
  if (part === 'main') {
    if (!resource.definition.statusSubresource) return object;
    const { status: _, ...others } = object;
    return others as KubeObject;
  }
  const { apiVersion, kind, metadata } = object;
  const { name, uid, resourceVersion } = metadata;
  const known = { ...(uid ? { uid } : {}), ...(resourceVersion ? { resourceVersion } : {}) };
  const status = 'status' in object ? { status: object['status'] } : {};
  return { apiVersion, kind, metadata: { name, ...known }, ...status };
}

function checkMayCreate({ ref }: Resource, { request, object }: Application): void {
  const { name } = request.target;
  const { uid } = object.metadata;
  if (request.part === 'status') throw notFound(ref, name);
  if (!uid) return;
  const why = `uid mismatch: the provided object specified uid ${uid}, and no existing object was found`;
  throw conflict(ref, name, why);
}

/** Null is no value of a custom resource's field, unless its schema says so. */
function refuseNulls({ isBuiltIn, definition, schema, ref }: Resource, object: KubeObject): void {
  const paths = isBuiltIn ? [] : findNulls(object, schema);
  if (paths.length === 0) return;
  const completed = copyJson(object);
  setDefaults(completed, schema);
  const faults = validate(completed, schema, { isSensitive: definition.sensitive ?? false });
  const isMeant = ({ reason, field }: FieldError) =>
    reason !== 'FieldValueTypeInvalid' || paths.includes(field);
  throw invalid(ref, object.metadata.name, faults.filter(isMeant));
}

function managerOf(resource: Resource, { options, part }: ApplyObjectRequest): ManagerIdentity {
  return {
    manager: options.fieldManager,
    operation: 'Apply',
    apiVersion: resource.apiVersion,
    ...(part === 'status' ? { subresource: 'status' } : {}),
  };
}

async function applyToNew(registry: Registry, resource: Resource, application: Application) {
  const { request, applied, object } = application;
  const { schema, apiVersion, ref } = resource;
  const { group, plural: resourceName, kind } = ref;
  authorize(registry.authorizer, request.options.user, {
    verb: 'create',
    group,
    resource: resourceName,
    ...request.target,
  });
  const live: KubeObject = { apiVersion, kind, metadata: { name: request.target.name } };
  const manager = managerOf(resource, request);
  refuseNulls(resource, object);
  return createTracked(registry, resource, {
    object: copyJson(object),
    options: { ...request.options, fieldValidation: 'Ignore' },
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
      refuseNulls(resource, result);
      return result;
    },
    track: () => managedFields,
  });
}
