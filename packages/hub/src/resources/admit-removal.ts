import { isDeepStrictEqual } from 'node:util';
import type { Application, KubeObject, ResourceRef, Site } from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';
import { defaultRemovalLimits, type RemovalLimits } from '../removal/judge-removal.ts';
import { removalFinalizer } from '../removal/removal-finalizer.ts';
import { requireApproval } from './require-approval.ts';

/**
 * Refuses what lets a removal pass the guard to everybody without the verb `approve` on the kind: consent, a wider guard, and
 * taking the finalizer of an object under deletion away.
 */
export function admitRemoval(
  ref: ResourceRef,
): (object: KubeObject, previous: KubeObject | undefined, context: AdmissionContext) => Promise<void> {
  return async (object, previous, context) => {
    const act = actOfApproval(object as Guarded, previous as Guarded | undefined);
    if (act !== undefined) requireApproval(act, { object, ref }, context);
  };
}

/**
 * The object with the finalizer that it had. Clients that send whole objects leave it out, and nobody has to be able to take it
 * off a living one: deleted then, it would be gone before the guard has seen it.
 */
export function withRemovalFinalizer<T extends KubeObject>(object: T, previous: KubeObject | undefined): T {
  if (previous === undefined || previous.metadata.deletionTimestamp !== undefined) return object;
  if (!hasFinalizer(previous) || hasFinalizer(object)) return object;
  const finalizers = [...(object.metadata.finalizers ?? []), removalFinalizer];
  return { ...object, metadata: { ...object.metadata, finalizers } };
}

type Guarded = Application | Site;

function actOfApproval(object: Guarded, previous: Guarded | undefined): string | undefined {
  const approved = object.spec?.removal?.approved;
  if (approved !== undefined && !isDeepStrictEqual(approved, previous?.spec?.removal?.approved))
    return 'approve a removal (spec.removal.approved)';
  const before = guardOf(previous);
  const { sites, percent } = guardOf(object);
  if (sites > before.sites || percent > before.percent)
    return `widen the guard beyond ${before.sites} sites and ${before.percent}% (spec.removal.guard)`;
  if (previous !== undefined && hasFinalizer(previous) && !hasFinalizer(object))
    return `take the finalizer ${removalFinalizer} away`;
  return undefined;
}

function guardOf(object: Guarded | undefined): RemovalLimits {
  const removal = object?.spec?.removal;
  const guard = removal !== undefined && 'guard' in removal ? removal.guard : undefined;
  return { ...defaultRemovalLimits, ...guard };
}

function hasFinalizer({ metadata }: KubeObject): boolean {
  return metadata.finalizers?.includes(removalFinalizer) ?? false;
}
