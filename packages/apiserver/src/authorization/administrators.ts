import type { PolicyRule } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import type { Authorizer, Decision } from './authorizer.ts';

export const administratorsGroup = 'system:masters';

/** What `cluster-admin` may do: everything. */
export const fullAuthority: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

export const isAdministrator = (user: UserInfo): boolean => user.groups.includes(administratorsGroup);

export const allowedAsAdministrator: Decision = {
  allowed: true,
  reason: `member of the group ${administratorsGroup}`,
};
export const denied: Decision = { allowed: false, reason: '' };

/** As Kubernetes: the members of `system:masters` may do everything, whatever the rules say. Nobody else may. */
export const administratorsAuthorizer: Authorizer = {
  decide: (user) => (isAdministrator(user) ? allowedAsAdministrator : denied),
  rulesOf: (user) => (isAdministrator(user) ? fullAuthority : []),
};
