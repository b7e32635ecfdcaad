import { StatusError } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import type { Attributes, Authorizer, Decision, ResourceAttributes } from './authorizer.ts';

/** Throws `Forbidden` for a user who may not, worded as Kubernetes does. */
export function authorize(authorizer: Authorizer, user: UserInfo, attributes: Attributes): Decision {
  const decision = authorizer.decide(user, attributes);
  if (decision.allowed) return decision;
  throw 'path' in attributes
    ? new StatusError(
        'Forbidden',
        `forbidden: User "${user.name}" cannot ${attributes.verb} path "${attributes.path}"`,
      )
    : forbiddenResource(user, attributes);
}

function forbiddenResource(user: UserInfo, attributes: ResourceAttributes): StatusError {
  const { verb, group, namespace, name } = attributes;
  const resource =
    attributes.subresource === undefined
      ? attributes.resource
      : `${attributes.resource}/${attributes.subresource}`;
  const qualified = group === '' ? attributes.resource : `${attributes.resource}.${group}`;
  const subject = name === undefined ? qualified : `${qualified} "${name}"`;
  const scope = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  return new StatusError(
    'Forbidden',
    `${subject} is forbidden: User "${user.name}" cannot ${verb} resource "${resource}" in API group "${group}" ${scope}`,
    {
      details: {
        kind: attributes.resource,
        ...(group ? { group } : {}),
        ...(name === undefined ? {} : { name }),
      },
    },
  );
}
