import type { UserInfo } from './user-info.ts';

/** What a request carries to say who it is from. */
export interface Credentials {
  /** Named by a client certificate that the TLS layer has verified. */
  readonly certificateUser?: UserInfo;
  /** Of the `Authorization: Bearer` header. Never log it. */
  readonly bearerToken?: string;
  /** Whom the token has to be meant for; one of them is enough. Absent: this API. */
  readonly audiences?: readonly string[];
}

/** One way of knowing users: service account tokens, OIDC, … */
export interface Authenticator {
  /**
   * `undefined`: carries no credential of this kind, ask the next one. Throws `Unauthorized` for one of this kind that
   * is wrong or expired; the message never repeats it.
   */
  authenticate(credentials: Credentials): Promise<UserInfo | undefined>;
}
