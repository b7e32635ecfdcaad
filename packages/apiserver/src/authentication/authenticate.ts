import { StatusError } from '@selvedge/api';
import type { Authenticator, Credentials } from './authenticator.ts';
import type { UserInfo } from './user-info.ts';

const authenticated = 'system:authenticated';

/**
 * The user behind a request, always also in the group `system:authenticated`; `undefined` when nothing was presented.
 * Throws `Unauthorized` for credentials that nobody knows.
 */
export async function authenticate(
  authenticators: readonly Authenticator[],
  credentials: Credentials,
): Promise<UserInfo | undefined> {
  const { certificateUser, bearerToken } = credentials;
  if (certificateUser) return withGroup(certificateUser);
  for (const authenticator of authenticators) {
    const user = await authenticator.authenticate(credentials);
    if (user) return withGroup(user);
  }
  if (bearerToken !== undefined)
    throw new StatusError('Unauthorized', 'Unauthorized: the token is not known');
  return undefined;
}

function withGroup(user: UserInfo): UserInfo {
  return user.groups.includes(authenticated) ? user : { ...user, groups: [...user.groups, authenticated] };
}
