import { machines, type ResourceRef, resourceName, StatusError } from '@selvedge/api';
import type { AdmissionContext } from '@selvedge/apiserver';

/** What is written, and which of its fields lets data be lost. */
export interface WipeCase {
  readonly ref: ResourceRef;
  readonly name: string;
  readonly path: string;
  /** Whose disks. */
  readonly machine: string;
}

/** Throws `Forbidden` unless the user has the verb `wipe` on the machine: may let what is on its disks be lost. */
export function requireWipe(
  { ref, name, path, machine }: WipeCase,
  { user, authorizer }: Pick<AdmissionContext, 'user' | 'authorizer'>,
): void {
  const { group, version, plural: resource } = machines;
  if (authorizer.decide(user, { verb: 'wipe', group, version, resource, name: machine }).allowed) return;
  throw new StatusError(
    'Forbidden',
    `${resourceName(ref)} "${name}" is forbidden: ${path} lets what is on the disks of machine "${machine}" be lost, ` +
      `and user ${JSON.stringify(user.name)} needs the verb "wipe" on machines "${machine}" for that ` +
      '(ClusterRole selvedge:machine-wiper gives it)',
    { details: { name, group: ref.group, kind: ref.plural } },
  );
}
