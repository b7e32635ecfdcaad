import {
  type FieldError,
  fieldInvalid,
  fieldRequired,
  isObject,
  isSameJson,
  type KubeObject,
  type ObjectMeta,
  type OwnerReference,
  StatusError,
} from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import type { Registry } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';

/** Far more than anybody needs; every owner is looked up, and compared with those before. */
const maxOwners = 1000;

/** The form of the references; whether the owners exist is for the garbage collector to see. */
export function validateOwners({ ownerReferences = [] }: ObjectMeta): FieldError[] {
  const errors: FieldError[] = [];
  if (ownerReferences.length > maxOwners) {
    const why = `must have at most ${maxOwners} items`;
    return [fieldInvalid('metadata.ownerReferences', ownerReferences.length, why)];
  }
  for (const [i, owner] of ownerReferences.entries()) {
    const path = `metadata.ownerReferences[${i}]`;
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (!owner[field]) errors.push(fieldRequired(`${path}.${field}`, 'must not be empty'));
    }
    if (owner.apiVersion && !/^([^/]+\/)?[^/]+$/.test(owner.apiVersion)) {
      errors.push(fieldInvalid(`${path}.apiVersion`, owner.apiVersion, 'must be VERSION or GROUP/VERSION'));
    }
    if (owner.apiVersion === 'v1' && owner.kind === 'Event') {
      errors.push(fieldInvalid(path, 'v1 Event', 'is disallowed from being an owner'));
    }
  }
  const [first, second] = ownerReferences.filter((owner) => owner.controller);
  if (first && second) {
    const why =
      'Only one reference can have Controller set to true. Found "true" in references for ' +
      `${first.kind}/${first.name} and ${second.kind}/${second.name}`;
    errors.push(fieldInvalid('metadata.ownerReferences', undefined, why));
  }
  return errors;
}

const maxNamed = 20;

/** The same owner twice is kept once, in place, with a warning in the words of Kubernetes. Types are not checked yet. */
export function dropRepeatedOwners({ metadata }: KubeObject, warn: (message: string) => void): void {
  const owners: unknown = metadata.ownerReferences;
  if (!Array.isArray(owners) || owners.length < 2) return;
  const seen = new Set<string>();
  const repeated = new Set<string>();
  const kept = owners.filter((owner: unknown) => {
    const text = JSON.stringify(owner);
    if (!seen.has(text)) return seen.add(text);
    repeated.add(isObject(owner) ? String(owner['uid']) : '');
    return false;
  });
  if (repeated.size === 0) return;
  metadata.ownerReferences = kept as OwnerReference[];
  warn(
    '.metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may ' +
      'reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ' +
      [...repeated].slice(0, maxNamed).join(', '),
  );
}

interface Owned {
  readonly resource: Resource;
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
  readonly user: UserInfo;
}

/**
 * Who makes the deletion of an owner wait must be allowed to set the owner's finalizers. Throws `Forbidden`. The
 * admission plugin OwnerReferencesPermissionEnforcement of Kubernetes does the same.
 */
export function checkOwners(
  { authorizer, catalog }: Pick<Registry, 'authorizer' | 'catalog'>,
  { resource, object, previous, user }: Owned,
): void {
  const { ownerReferences, name, namespace } = object.metadata;
  if (!ownerReferences) return;
  const known = previous?.metadata.ownerReferences ?? [];
  for (const owner of ownerReferences) {
    if (owner.blockOwnerDeletion !== true || known.some((k) => isSameJson(k, owner))) continue;
    const kind = catalog.all.find((r) => r.apiVersion === owner.apiVersion && r.ref.kind === owner.kind);
    const isElsewhere = kind && !kind.ref.namespaced;
    const mayBlock = authorizer.decide(user, {
      verb: 'update',
      group: kind?.ref.group ?? '*',
      // Of a kind that is not known only who may do everything may speak.
      resource: kind?.ref.plural ?? '*',
      subresource: 'finalizers',
      name: owner.name,
      namespace: isElsewhere ? undefined : namespace,
    }).allowed;
    if (!mayBlock) throw blockForbidden(resource, name, { owner, isKnown: kind !== undefined });
  }
}

function blockForbidden(
  { name: resourceName, ref }: Resource,
  name: string,
  { owner, isKnown }: { owner: OwnerReference; isKnown: boolean },
): StatusError {
  const why = isKnown
    ? "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on"
    : `cannot set blockOwnerDeletion in this case because the kind ${owner.apiVersion} ${owner.kind} is not known`;
  return new StatusError('Forbidden', `${resourceName} "${name}" is forbidden: ${why}`, {
    details: { name, ...(ref.group ? { group: ref.group } : {}), kind: ref.plural },
  });
}
