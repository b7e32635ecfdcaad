import { isDeepStrictEqual } from 'node:util';
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
import { finalizersOfDeletion, type PropagationPolicy, withFinalizers } from './propagation.ts';
import { refuseVirtual } from './refuse-virtual.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { storeChanged, storeRemoved } from './store-object.ts';

export interface DeleteRequest {
  readonly target: ObjectName;
  readonly preconditions?:
    | { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined }
    | undefined;
  /** What happens to dependents; absent: as the object's finalizers say, else Background. */
  readonly propagationPolicy?: PropagationPolicy | undefined;
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
      return await deleteOrMark(registry, resource, { object, request });
    } catch (error) {
      if (!isConflict(error) || attempt === maxAttempts) throw error;
    }
  }
}

async function deleteOrMark(
  registry: Registry,
  resource: Resource,
  { object, request: { propagationPolicy, dryRun } }: { object: KubeObject; request: DeleteRequest },
): Promise<Deleted> {
  const present = object.metadata.finalizers ?? [];
  const finalizers = finalizersOfDeletion(present, propagationPolicy);
  const wanted = withFinalizers(object, finalizers);
  if (!isHeld(resource, wanted)) {
    return { object: await storeRemoved(registry, resource, { object: wanted, dryRun }), isGone: true };
  }
  const isMarked = object.metadata.deletionTimestamp !== undefined;
  if (isMarked && isDeepStrictEqual(finalizers.toSorted(), present.toSorted())) {
    return { object, isGone: false };
  }
  const marked = isMarked ? wanted : mark(wanted, nowText(registry));
  const complete = isNamespaceKind(resource) ? completeNamespace(marked, object) : marked;
  return { object: await storeChanged(registry, resource, { object: complete, dryRun }), isGone: false };
}

function mark(object: KubeObject, now: string): KubeObject {
  const { metadata } = object;
  return {
    ...object,
    metadata: {
      ...metadata,
      ...(metadata.generation === undefined ? {} : { generation: metadata.generation + 1 }),
      deletionTimestamp: now,
      deletionGracePeriodSeconds: 0,
    },
  };
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
  { ref }: Resource,
  { metadata }: KubeObject,
  { uid, resourceVersion }: NonNullable<DeleteRequest['preconditions']> = {},
): void {
  const refuse = (what: string, why: string) => {
    // Kubernetes names the kind here, not the resource.
    throw conflict({ group: ref.group, plural: ref.kind }, metadata.name, `the ${what}. ${why}`);
  };
  if (uid && uid !== metadata.uid) {
    refuse(
      `UID in the precondition (${uid}) does not match the UID in record (${metadata.uid})`,
      'The object might have been deleted and then recreated',
    );
  }
  if (resourceVersion && resourceVersion !== metadata.resourceVersion) {
    refuse(
      `ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion})`,
      'The object might have been modified',
    );
  }
}
