import { isDeepStrictEqual } from 'node:util';
import { type Application, type KubeObject, type ResourceRef, type Site, StatusError } from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import { removalFinalizer } from '../removal/removal-finalizer.ts';

/**
 * Refuses what lets a held removal go to everybody without the verb `approve` on the kind: consent, a wider guard while
 * something is held, and taking the finalizer away by hand.
 */
export function admitRemoval(
  ref: ResourceRef,
): (object: KubeObject, previous: KubeObject | undefined, context: AdmissionContext) => Promise<void> {
  return async (object, previous, { user, authorizer }) => {
    const act = actOfApproval(object as Guarded, previous as Guarded | undefined);
    if (act === undefined) return;
    const { name, namespace } = object.metadata;
    const { group, version, plural } = ref;
    const wanted = { verb: 'approve', group, version, resource: plural, namespace, name };
    if (authorizer.decide(user, wanted).allowed) return;
    throw new StatusError(
      'Forbidden',
      `${plural}.${group} "${name}" is forbidden: User "${user.name}" cannot ${act}: that needs the verb "approve" on ${plural} in API group "${group}"${namespace === undefined ? '' : ` in the namespace "${namespace}"`}`,
    );
  };
}

type Guarded = Application | Site;

function actOfApproval(object: Guarded, previous: Guarded | undefined): string | undefined {
  const approved = object.spec?.removal?.approved;
  if (approved !== undefined && !isDeepStrictEqual(approved, previous?.spec?.removal?.approved))
    return 'approve a removal (spec.removal.approved)';
  if (previous === undefined) return undefined;
  if (previous.status?.heldRemoval !== undefined && !isDeepStrictEqual(guardOf(object), guardOf(previous)))
    return 'change the guard while it holds a removal (spec.removal.guard)';
  const isLeaving = previous.metadata.deletionTimestamp !== undefined;
  if (isLeaving && hasFinalizer(previous) && !hasFinalizer(object))
    return `take the finalizer ${removalFinalizer} away`;
  return undefined;
}

function guardOf({ spec }: Guarded): unknown {
  return spec?.removal !== undefined && 'guard' in spec.removal ? spec.removal.guard : undefined;
}

function hasFinalizer({ metadata }: KubeObject): boolean {
  return metadata.finalizers?.includes(removalFinalizer) ?? false;
}
