import { type KubeObject, type ResourceRef, resourceName, StatusError } from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';

export interface ApprovalCase {
  readonly object: KubeObject;
  /** Kind of the object. */
  readonly ref: ResourceRef;
  /** Kind that the verb is asked for; absent: that of the object, and by its name. */
  readonly verbOn?: ResourceRef;
}

/** Throws `Forbidden` unless the user has the verb `approve`. `act` for the message, as in `change spec.stop`. */
export function requireApproval(
  act: string,
  { object, ref, verbOn }: ApprovalCase,
  { user, authorizer }: Pick<AdmissionContext, 'user' | 'authorizer'>,
): void {
  const { name, namespace } = object.metadata;
  const { group, version, plural: resource } = verbOn ?? ref;
  const wanted = { verb: 'approve', group, version, resource, namespace };
  if (authorizer.decide(user, verbOn === undefined ? { ...wanted, name } : wanted).allowed) return;
  const where = namespace === undefined ? '' : ` in the namespace "${namespace}"`;
  throw new StatusError(
    'Forbidden',
    `${resourceName(ref)} "${name}" is forbidden: to ${act}, user ${JSON.stringify(user.name)} needs the verb "approve" ` +
      `on resource "${resource}" in API group "${group}"${where} (ClusterRole selvedge:release-approver gives it)`,
    { details: { name, group: ref.group, kind: ref.plural } },
  );
}
