import {
  conflict,
  copyJson,
  fieldInvalid,
  invalid,
  isConflict,
  type KubeObject,
  notFound,
  type ObjectName,
} from '@selvedge/api';
import { admit } from '../admission/admit.ts';
import { withIdentity } from '../admission/identity.ts';
import { isHeld } from '../admission/namespace-object.ts';
import { isSameButForTimes, withManagers } from '../managed-fields/managers.ts';
import { trackUpdate } from '../managed-fields/track-update.ts';
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
  // Kubernetes lets its own kinds be overwritten whatever they are.
  const { unconditionalUpdate = resource.isBuiltIn } = resource.definition;
  const isUnconditional = unconditionalUpdate && !isVersion(sent.metadata.resourceVersion);
  const change = (current: KubeObject) => {
    checkPreconditions(resource, current, sent);
    const { resourceVersion } = sent.metadata;
    if (isUnconditional || isVersion(resourceVersion)) return copyJson(sent);
    const detail = 'must be specified for an update';
    const { group, plural: kind } = resource.ref;
    throw invalid({ group, kind }, target.name, [fieldInvalid('metadata.resourceVersion', 0, detail)]);
  };
  return changeObject(registry, resource, { target, part, options, retry: isUnconditional, change });
}

const isVersion = (text: string | undefined): boolean => text !== undefined && text !== '' && text !== '0';

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
  /** Door that the change comes through, for field ownership; absent: `status` of that part, else none. */
  readonly subresource?: string;
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
    if (request.retry) checkSameUid(resource, current, wanted);
    checkPreconditions(resource, current, wanted);
    try {
      return await write(registry, resource, { request, current, wanted });
    } catch (error) {
      if (!request.retry || !isConflict(error) || attempt === maxAttempts) throw error;
    }
  }
}

/** A patch has no preconditions but its resourceVersion: with another uid it tries to change what cannot change. */
function checkSameUid(
  resource: Resource,
  current: KubeObject,
  { metadata: { name, uid } }: KubeObject,
): void {
  if (!uid || uid === current.metadata.uid) return;
  throw invalid(resource.ref, name, [fieldInvalid('metadata.uid', uid, 'field is immutable')]);
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
  const admission = await admit(registry, { resource, object, previous: current, options, part });
  const { object: admitted, isContentChanged } = admission;
  if (isContentChanged && !resource.isBuiltIn) {
    admitted.metadata = { ...admitted.metadata, generation: (current.metadata.generation ?? 0) + 1 };
  }
  const track = request.track ?? trackerOf(registry, resource, request);
  const complete = withManagers(admitted, track(current, admitted));
  complete.metadata.resourceVersion = current.metadata.resourceVersion ?? '';
  const { dryRun } = options;
  if (complete.metadata.deletionTimestamp !== undefined && !isHeld(resource, complete)) {
    return storeRemoved(registry, resource, { object: complete, dryRun });
  }
  if (isSameButForTimes(complete, current)) return current;
  return storeChanged(registry, resource, { object: complete, dryRun });
}

/** Throws `Conflict` when `wanted` names another life or another state of the object. */
export function checkPreconditions(resource: Resource, current: KubeObject, wanted: KubeObject): void {
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
    'selfLink',
  ] as const;
  for (const field of kept) {
    const value = (current as unknown as Record<string, unknown>)[field];
    if (value === undefined) delete result[field];
    else result[field] = value;
  }
  return result as unknown as KubeObject['metadata'];
}

function trackerOf(registry: Registry, resource: Resource, request: ChangeRequest) {
  const { options, part, subresource = part === 'status' ? 'status' : undefined } = request;
  const manager = {
    manager: options.fieldManager,
    operation: 'Update' as const,
    apiVersion: resource.apiVersion,
    ...(subresource === undefined ? {} : { subresource }),
  };
  return (before: KubeObject, after: KubeObject) =>
    trackUpdate({ before, after, schema: resource.schema, manager, now: nowText(registry) });
}

/** For verbs on `…/status` of a kind that has none. */
export function requireStatusSubresource(resource: Resource, name = ''): void {
  if (!resource.definition.statusSubresource) throw notFound(resource.ref, name);
}
