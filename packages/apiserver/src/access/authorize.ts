import { StatusError } from '@selvedge/api';
import type { UserInfo } from './user-info.ts';

/** As Kubernetes: its members may do everything. The only group with rights for now. */
const administrators = 'system:masters';

export interface Attributes {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
}

/** Throws `Unauthorized` without a user, `Forbidden` for one who may not; worded as Kubernetes does. */
export function authorize(user: UserInfo | undefined, attributes: Attributes | { path: string }): void {
  if (!user) {
    throw new StatusError(
      'Unauthorized',
      'Unauthorized: use a client certificate, as in the admin kubeconfig of the hub',
    );
  }
  if (user.groups.includes(administrators)) return;
  if ('path' in attributes) {
    throw new StatusError('Forbidden', `User "${user.name}" cannot get path "${attributes.path}"`);
  }
  const { verb, group, resource, name, namespace } = attributes;
  const qualified = group === '' ? resource : `${resource}.${group}`;
  const subject = name === undefined ? qualified : `${qualified} "${name}"`;
  const scope = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  throw new StatusError(
    'Forbidden',
    `${subject} is forbidden: User "${user.name}" cannot ${verb} resource "${resource}" in API group "${group}" ${scope}`,
    { details: { kind: resource, ...(group ? { group } : {}), ...(name === undefined ? {} : { name }) } },
  );
}
