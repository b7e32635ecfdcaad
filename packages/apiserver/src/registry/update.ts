import { isDeepStrictEqual } from 'node:util';
import {
  badRequest,
  conflict,
  fieldInvalid,
  invalid,
  isConflict,
  type KubeObject,
  notFound,
  type ObjectName,
} from '@selvedge/api';
import { admit, hasSameContent } from '../admission/admit.ts';
import { withIdentity } from '../admission/identity.ts';
import { isHeld } from '../admission/namespace-object.ts';
import { trackUpdate } from '../managed-fields/track-update.ts';
import { copyJson } from '../schema/json-value.ts';
import { prune } from '../schema/prune.ts';
import { nowText } from './create.ts';
import { decode, keyOf } from './object-codec.ts';
import { refuseVirtual } from './refuse-virtual.ts';
import type { Registry, WriteOptions } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { storeChanged, storeRemoved } from './store-object.ts';

export interface UpdateRequest {
  readonly target: ObjectName;
  readonly body: unknown;
  readonly part: 'main' | 'status';
  readonly options: WriteOptions;
}

/** PUT: the object must exist, and carry the resourceVersion that its writer read. */
export async function updateObject(
  registry: Registry,
  resource: Resource,
  request: UpdateRequest,
): Promise<KubeObject> {
  refuseVirtual(resource, 'update');
  const { target, part, options } = request;
  const sent = withIdentity(resource, request.body, target);
  const change = () => {
    const { resourceVersion } = sent.metadata;
    if (resourceVersion && resourceVersion !== '0') return copyJson(sent);
    const detail = 'must be specified for an update';
    throw invalid(resource.ref, target.name, [fieldInvalid('metadata.resourceVersion', 0, detail)]);
  };
  return changeObject(registry, resource, { target, part, options, retry: false, change });
}

export interface ChangeRequest {
  readonly target: ObjectName;
  readonly part: 'main' | 'status';
  readonly options: WriteOptions;
  /**
   * What the object is to become; the argument may be changed. With a `metadata.resourceVersion` of another state the
   * change is a Conflict.
   */
  readonly change: (current: KubeObject) => KubeObject;
  /** The change makes sense on any state: when another write comes in between, it is made again on the newest. */
  readonly retry: boolean;
  /** Who owns what afterwards; absent: as an update by `options.fieldManager`. */
  readonly track?: (before: KubeObject, after: KubeObject) => KubeObject['metadata']['managedFields'];
}

const maxAttempts = 10;

/** Read, change, admit, compare-and-set; what every write to an existing object goes through. */
export async function changeObject(
  registry: Registry,
  resource: Resource,
  request: ChangeRequest,
): Promise<KubeObject> {
  const change = () => changeStored(registry, resource, request);
  const { namespace = '', name } = request.target;
  const written = await (request.retry
    ? registry.turns.run(`${resource.name}/${namespace}/${name}`, change)
    : change());
  const [decorated = written] = await resource.decorate([written]);
  return decorated;
}

async function changeStored(
  registry: Registry,
  resource: Resource,
  request: ChangeRequest,
): Promise<KubeObject> {
  const { namespace, name } = request.target;
  for (let attempt = 1; ; attempt++) {
    const stored = await registry.store.find(keyOf(resource, namespace, name));
    if (!stored) throw notFound(resource.ref, name);
    const current = decode(stored);
    prune(current, resource.schema);
    const wanted = request.change(copyJson(current));
    checkPreconditions(resource, current, wanted);
    try {
      return await write(registry, resource, { request, current, wanted });
    } catch (error) {
      if (!request.retry || !isConflict(error) || attempt === maxAttempts) throw error;
    }
  }
}

interface Write {
  readonly request: ChangeRequest;
  readonly current: KubeObject;
  readonly wanted: KubeObject;
}

async function write(
  registry: Registry,
  resource: Resource,
  { request, current, wanted }: Write,
): Promise<KubeObject> {
  const { options, part } = request;
  const object =
    part === 'status' ? withStatusOf(current, wanted) : withoutStatusOf(resource, current, wanted);
  object.metadata = keepServerMetadata(object.metadata, current.metadata);
  const admitted = await admit({
    resource,
    object,
    previous: current,
    options,
    part,
    authorizer: registry.authorizer,
  });
  if (!hasSameContent(resource, admitted, current)) {
    admitted.metadata = { ...admitted.metadata, generation: (current.metadata.generation ?? 0) + 1 };
  }
  const managedFields = (request.track ?? trackerOf(registry, resource, request))(current, admitted) ?? [];
  const complete: KubeObject = {
    ...admitted,
    metadata: {
      ...admitted.metadata,
      managedFields,
      resourceVersion: current.metadata.resourceVersion ?? '',
    },
  };
  const { dryRun } = options;
  if (complete.metadata.deletionTimestamp !== undefined && !isHeld(resource, complete)) {
    return storeRemoved(registry, resource, { object: complete, dryRun });
  }
  if (isDeepStrictEqual(complete, current)) return current;
  return storeChanged(registry, resource, { object: complete, dryRun });
}

function checkPreconditions(resource: Resource, current: KubeObject, wanted: KubeObject): void {
  const { name, uid, resourceVersion } = wanted.metadata;
  if (uid && uid !== current.metadata.uid) {
    const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`;
    throw conflict(resource.ref, name, why);
  }
  if (resourceVersion && resourceVersion !== '0' && resourceVersion !== current.metadata.resourceVersion) {
    const why = 'the object has been modified; please apply your changes to the latest version and try again';
    throw conflict(resource.ref, name, why);
  }
}

/** Through the status subresource nothing else can be written. */
function withStatusOf(current: KubeObject, wanted: KubeObject): KubeObject {
  const { status: _, ...object } = copyJson(current);
  const { managedFields } = wanted.metadata;
  return {
    ...object,
    metadata: { ...current.metadata, ...(managedFields ? { managedFields } : {}) },
    ...('status' in wanted ? { status: wanted['status'] } : {}),
  };
}

function withoutStatusOf(resource: Resource, current: KubeObject, wanted: KubeObject): KubeObject {
  if (!resource.definition.statusSubresource) return wanted;
  const { status: _, ...object } = wanted;
  return 'status' in current ? { ...object, status: copyJson(current['status']) } : object;
}

/** Metadata that only the server sets stay what they are, whatever was sent. */
function keepServerMetadata(
  sent: KubeObject['metadata'],
  current: KubeObject['metadata'],
): KubeObject['metadata'] {
  const result: Record<string, unknown> = { ...sent };
  const kept = [
    'uid',
    'resourceVersion',
    'generation',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generateName',
    'selfLink',
  ] as const;
  for (const field of kept) {
    const value = (current as unknown as Record<string, unknown>)[field];
    if (value === undefined) delete result[field];
    else result[field] = value;
  }
  return result as unknown as KubeObject['metadata'];
}

function trackerOf(registry: Registry, resource: Resource, { options, part }: ChangeRequest) {
  const manager = {
    manager: options.fieldManager,
    operation: 'Update' as const,
    apiVersion: resource.apiVersion,
    ...(part === 'status' ? { subresource: 'status' } : {}),
  };
  return (before: KubeObject, after: KubeObject) =>
    trackUpdate({ before, after, schema: resource.schema, manager, now: nowText(registry) });
}

/** For verbs on `…/status` of a kind that has none. */
export function requireStatusSubresource(resource: Resource): void {
  if (!resource.definition.statusSubresource) throw badRequest(`${resource.name} has no status subresource`);
}
