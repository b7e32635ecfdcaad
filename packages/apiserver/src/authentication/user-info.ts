/** Who asks, as `authentication.k8s.io/v1 UserInfo`. */
export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** Who shows nothing, where that is enough. */
export const anonymousUser: UserInfo = { name: 'system:anonymous', groups: ['system:unauthenticated'] };

/** Names the credential itself (a certificate, a token), so that the audit log can tell which one was used. */
export const credentialIdKey = 'authentication.kubernetes.io/credential-id';

/** As it stands in `status.user` of a TokenReview. */
export function userInfoBody({ name, uid, groups, extra }: UserInfo): Record<string, unknown> {
  return {
    username: name,
    ...(uid === undefined ? {} : { uid }),
    groups: [...groups],
    ...(extra === undefined ? {} : { extra }),
  };
}
