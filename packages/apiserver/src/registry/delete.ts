import {
  conflict,
  isConflict,
  type KubeObject,
  namespaces,
  notFound,
  type ObjectName,
  StatusError,
} from '@selvedge/api';
import {
  completeNamespace,
  defaultNamespace,
  isHeld,
  isNamespaceKind,
} from '../admission/namespace-object.ts';
import { nowText } from './create.ts';
import { decode, keyOf } from './object-codec.ts';
import { refuseVirtual } from './refuse-virtual.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { storeChanged, storeRemoved } from './store-object.ts';

export interface DeleteRequest {
  readonly target: ObjectName;
  readonly preconditions?:
    | { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined }
    | undefined;
  readonly dryRun: boolean;
}

export interface Deleted {
  readonly object: KubeObject;
  /** False: the object is marked, and goes when its finalizers are gone. */
  readonly isGone: boolean;
}

const maxAttempts = 10;

export async function deleteObject(
  registry: Registry,
  resource: Resource,
  request: DeleteRequest,
): Promise<Deleted> {
  refuseVirtual(resource, 'delete');
  const { namespace, name } = request.target;
  if (isNamespaceKind(resource) && name === defaultNamespace) throw undeletable(name);
  for (let attempt = 1; ; attempt++) {
    const stored = await registry.store.find(keyOf(resource, namespace, name));
    if (!stored) throw notFound(resource.ref, name);
    const object = decode(stored);
    checkPreconditions(resource, object, request.preconditions);
    try {
      return await deleteOrMark(registry, resource, { object, dryRun: request.dryRun });
    } catch (error) {
      if (!isConflict(error) || attempt === maxAttempts) throw error;
    }
  }
}

async function deleteOrMark(
  registry: Registry,
  resource: Resource,
  { object, dryRun }: { object: KubeObject; dryRun: boolean },
): Promise<Deleted> {
  if (!isHeld(resource, object)) {
    return { object: await storeRemoved(registry, resource, { object, dryRun }), isGone: true };
  }
  if (object.metadata.deletionTimestamp !== undefined) return { object, isGone: false };
  const marked: KubeObject = {
    ...object,
    metadata: {
      ...object.metadata,
      generation: (object.metadata.generation ?? 0) + 1,
      deletionTimestamp: nowText(registry),
      deletionGracePeriodSeconds: 0,
    },
  };
  const complete = isNamespaceKind(resource) ? completeNamespace(marked, object) : marked;
  return { object: await storeChanged(registry, resource, { object: complete, dryRun }), isGone: false };
}

function undeletable(name: string): StatusError {
  return new StatusError(
    'Forbidden',
    `namespaces "${name}" is forbidden: this namespace may not be deleted`,
    {
      details: { name, kind: namespaces.plural },
    },
  );
}

function checkPreconditions(
  resource: Resource,
  { metadata }: KubeObject,
  { uid, resourceVersion }: NonNullable<DeleteRequest['preconditions']> = {},
): void {
  const refuse = (what: string, wanted: string, found: string | undefined) => {
    throw conflict(
      resource.ref,
      metadata.name,
      `Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${found}`,
    );
  };
  if (uid && uid !== metadata.uid) refuse('UID', uid, metadata.uid);
  if (resourceVersion && resourceVersion !== metadata.resourceVersion) {
    refuse('ResourceVersion', resourceVersion, metadata.resourceVersion);
  }
}
