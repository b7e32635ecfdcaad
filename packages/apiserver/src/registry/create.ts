import { randomBytes, randomUUID } from 'node:crypto';
import { badRequest, copyJson, isAlreadyExists, type KubeObject, StatusError } from '@selvedge/api';
import type { WriteCondition } from '@selvedge/store';
import { admit } from '../admission/admit.ts';
import { isNamespaceKind } from '../admission/namespace-object.ts';
import { withIdentity } from '../admission/identity.ts';
import { type ManagerIdentity, withManagers } from '../managed-fields/managers.ts';
import { trackUpdate } from '../managed-fields/track-update.ts';
import { refuseVirtual } from './refuse-virtual.ts';
import type { Registry, WriteOptions } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { storeNew } from './store-object.ts';

export interface CreateRequest {
  readonly namespace?: string | undefined;
  readonly body: unknown;
  readonly options: WriteOptions;
}

const maxNameAttempts = 8;

export async function createObject(
  registry: Registry,
  resource: Resource,
  request: CreateRequest,
): Promise<KubeObject> {
  refuseVirtual(resource, 'create');
  const { options, namespace } = request;
  const object = withIdentity(resource, request.body, { namespace });
  if (object.metadata.resourceVersion) {
    throw badRequest('resourceVersion should not be set on objects to be created');
  }
  const manager: ManagerIdentity = {
    manager: options.fieldManager,
    operation: 'Update',
    apiVersion: resource.apiVersion,
  };
  const isGenerated = object.metadata.name === '' && object.metadata.generateName !== undefined;
  for (let attempt = 1; ; attempt++) {
    try {
      return await createTracked(registry, resource, {
        // It is changed on the way; only a generated name is tried again.
        object: isGenerated ? copyJson(object) : object,
        options,
        track: (after, now) =>
          trackUpdate({ before: undefined, after, schema: resource.schema, manager, now }),
      });
    } catch (error) {
      if (!isGenerated || !isAlreadyExists(error)) throw error;
      if (attempt === maxNameAttempts) throw noFreeName(error);
    }
  }
}

/** As Kubernetes words it: a client may simply try again. */
function noFreeName({ message, details, cause }: StatusError): StatusError {
  const why = `${message}, the server was not able to generate a unique name for the object`;
  return new StatusError('AlreadyExists', why, { details: { ...details, retryAfterSeconds: 1 }, cause });
}

export interface NewObject {
  /** Changed in place. */
  readonly object: KubeObject;
  readonly options: WriteOptions;
  readonly track: (object: KubeObject, now: string) => KubeObject['metadata']['managedFields'];
}

/** Creation as plain create and apply share it; they differ in who owns the fields. */
export async function createTracked(
  registry: Registry,
  resource: Resource,
  { object, options, track }: NewObject,
): Promise<KubeObject> {
  const now = nowText(registry);
  const { namespace = '' } = object.metadata;
  const { dryRun } = options;
  if (resource.ref.namespaced) await registry.namespaces.check(namespace, { fresh: dryRun });
  if (resource.definition.statusSubresource) delete object['status'];
  object.metadata = ofNewObject(resource, object.metadata, now);
  const { object: admitted } = await admit(registry, {
    resource,
    object,
    previous: undefined,
    options,
    part: 'main',
  });
  // What the server itself says in a namespace is nobody's.
  const owned = isNamespaceKind(resource) ? { ...admitted, spec: object['spec'], status: {} } : admitted;
  const complete = withManagers(admitted, track(owned, now));
  const store = (condition?: WriteCondition) =>
    storeNew(registry, resource, { object: complete, dryRun, ...(condition ? { condition } : {}) });
  const stored = await (resource.ref.namespaced && !dryRun
    ? registry.namespaces.createIn(namespace, store)
    : store());
  const [decorated = stored] = await resource.decorate([stored]);
  return decorated;
}

let lastSecond = 0;
let lastText = '';

/** RFC 3339 to the second, as `metav1.Time`. */
export function nowText({ clock }: Pick<Registry, 'clock'>): string {
  const now = clock.now();
  const second = Math.floor(now.getTime() / 1000);
  if (second !== lastSecond) {
    lastSecond = second;
    lastText = now.toISOString().replace(/\.\d+Z$/, 'Z');
  }
  return lastText;
}

function ofNewObject(
  resource: Resource,
  metadata: KubeObject['metadata'],
  now: string,
): KubeObject['metadata'] {
  const {
    uid: _uid,
    resourceVersion: _resourceVersion,
    deletionTimestamp: _deletionTimestamp,
    deletionGracePeriodSeconds: _deletionGracePeriodSeconds,
    managedFields: _managedFields,
    generation: _generation,
    selfLink: _selfLink,
    ...own
  } = metadata as KubeObject['metadata'] & { selfLink?: string };
  const isGenerated = own.name === '' && typeof own.generateName === 'string' && own.generateName !== '';
  return {
    ...own,
    ...(isGenerated ? { name: `${own.generateName?.slice(0, 58)}${randomSuffix()}` } : {}),
    uid: randomUUID(),
    ...(resource.isBuiltIn ? {} : { generation: 1 }),
    creationTimestamp: now,
  };
}

/** Kubernetes' alphabet: no vowels, nothing that looks like something else. */
function randomSuffix(): string {
  const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
  return [...randomBytes(5)].map((byte) => alphabet[byte % alphabet.length]).join('');
}
