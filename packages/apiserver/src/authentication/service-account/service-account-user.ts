import { credentialIdKey, type UserInfo } from '../user-info.ts';

/** A ServiceAccount, or an object that a token is bound to, in one life of it. */
export interface ObjectIdentity {
  readonly name: string;
  readonly uid: string;
}

/** The user that a token of a ServiceAccount stands for, as Kubernetes names it. */
export function serviceAccountUser(
  namespace: string,
  { name, uid }: ObjectIdentity,
  tokenId: string,
): UserInfo {
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
    extra: { [credentialIdKey]: [`JTI=${tokenId}`] },
  };
}
