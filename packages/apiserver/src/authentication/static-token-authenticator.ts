import { hash, timingSafeEqual } from 'node:crypto';
import type { Authenticator } from './authenticator.ts';
import type { UserInfo } from './user-info.ts';

/** One token that is always the same. `token` is asked at every request: it may change, or be gone. */
export function staticTokenAuthenticator(options: {
  readonly token: () => string | undefined;
  readonly user: UserInfo;
}): Authenticator {
  let known: { readonly token: string; readonly digest: Buffer } | undefined;
  return {
    authenticate: async ({ bearerToken }) => {
      const token = options.token();
      if (token === undefined || bearerToken === undefined) return undefined;
      if (known?.token !== token) known = { token, digest: digest(token) };
      // Digests: compared in constant time, whatever the lengths.
      return timingSafeEqual(known.digest, digest(bearerToken)) ? options.user : undefined;
    },
  };
}

const digest = (text: string): Buffer => hash('sha256', text, 'buffer');
