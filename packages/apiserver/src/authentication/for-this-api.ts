import type { Authenticator } from './authenticator.ts';
import { unauthorized } from './unauthorized.ts';

/** For tokens that name no audience of Kubernetes' kind: they are meant for this API, and for nobody else. */
export function forThisApi(
  authenticator: Authenticator,
  apiAudiences: () => readonly string[],
): Authenticator {
  return {
    authenticate: async (credentials) => {
      const user = await authenticator.authenticate(credentials);
      const { audiences } = credentials;
      if (!user || !audiences || audiences.some((audience) => apiAudiences().includes(audience))) return user;
      throw unauthorized('the token is meant for another audience');
    },
  };
}
