import type { Authorizer } from './authorizer.ts';

const administrators = 'system:masters';

/** As Kubernetes: the members of `system:masters` may do everything, whatever the rules say. */
export const administratorsAuthorizer: Authorizer = {
  decide: (user) =>
    user.groups.includes(administrators)
      ? { allowed: true, reason: `member of the group ${administrators}` }
      : { allowed: false, reason: '' },
};
