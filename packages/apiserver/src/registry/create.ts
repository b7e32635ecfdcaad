import { randomBytes, randomUUID } from 'node:crypto';
import { badRequest, isAlreadyExists, type KubeObject } from '@selvedge/api';
import { admit } from '../admission/admit.ts';
import { withIdentity } from '../admission/identity.ts';
import type { ManagerIdentity } from '../managed-fields/managers.ts';
import { trackUpdate } from '../managed-fields/track-update.ts';
import { copyJson } from '../schema/json-value.ts';
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
  for (let attempt = 1; ; attempt++) {
    try {
      return await createTracked(registry, resource, {
        object: copyJson(object),
        options,
        track: (after, now) =>
          trackUpdate({ before: undefined, after, schema: resource.schema, manager, now }),
      });
    } catch (error) {
      const isGenerated = object.metadata.name === '' && object.metadata.generateName !== undefined;
      if (!isGenerated || !isAlreadyExists(error) || attempt === maxNameAttempts) throw error;
    }
  }
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
  delete object['status'];
  object.metadata = ofNewObject(object.metadata, now);
  const create = async () => {
    const admitted = await admit({
      resource,
      object,
      previous: undefined,
      options,
      part: 'main',
      authorizer: registry.authorizer,
    });
    const managedFields = track(admitted, now) ?? [];
    const complete = { ...admitted, metadata: { ...admitted.metadata, managedFields } };
    const stored = await storeNew(registry, resource, { object: complete, dryRun: options.dryRun });
    const [decorated = stored] = await resource.decorate([stored]);
    return decorated;
  };
  return resource.ref.namespaced
    ? registry.namespaces.enter(object.metadata.namespace ?? '', create)
    : create();
}

/** RFC 3339 to the second, as `metav1.Time`. */
export const nowText = (registry: Registry): string =>
  registry.clock
    .now()
    .toISOString()
    .replace(/\.\d+Z$/, 'Z');

function ofNewObject(metadata: KubeObject['metadata'], now: string): KubeObject['metadata'] {
  const {
    uid: _uid,
    resourceVersion: _resourceVersion,
    deletionTimestamp: _deletionTimestamp,
    deletionGracePeriodSeconds: _deletionGracePeriodSeconds,
    managedFields: _managedFields,
    selfLink: _selfLink,
    ...own
  } = metadata as KubeObject['metadata'] & { selfLink?: string };
  const isGenerated = own.name === '' && typeof own.generateName === 'string' && own.generateName !== '';
  return {
    ...own,
    ...(isGenerated ? { name: `${own.generateName?.slice(0, 58)}${randomSuffix()}` } : {}),
    uid: randomUUID(),
    generation: 1,
    creationTimestamp: now,
  };
}

/** Kubernetes' alphabet: no vowels, nothing that looks like something else. */
function randomSuffix(): string {
  const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
  return [...randomBytes(5)].map((byte) => alphabet[byte % alphabet.length]).join('');
}
