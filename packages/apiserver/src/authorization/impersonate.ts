import { badRequest, faultOfDnsLabel, faultOfDnsSubdomain } from '@selvedge/api';
import type { UserInfo } from '../authentication/user-info.ts';
import { authorize } from './authorize.ts';
import type { Authorizer, ResourceAttributes } from './authorizer.ts';

const extraPrefix = 'impersonate-extra-';
const authenticated = 'system:authenticated';
const unauthenticated = 'system:unauthenticated';
const anonymous = 'system:anonymous';
/** A request that names more would only make us check for ever. */
const maxHeaders = 100;

/**
 * The user that a request asks to act as with `Impersonate-User`, `-Group`, `-Uid` and `-Extra-KEY`; `undefined` when it
 * asks for nobody. `rawHeaders` as Node gives them (name, value, name, …), because a group may stand in a header of its
 * own and hold a comma. Throws `Forbidden` when the caller lacks the verb `impersonate` for any part of it, `BadRequest`
 * for headers that make no sense.
 */
export function impersonatedUser(
  authorizer: Authorizer,
  caller: UserInfo,
  rawHeaders: readonly string[],
): UserInfo | undefined {
  const asked = readHeaders(rawHeaders);
  if (!asked) return undefined;
  for (const attributes of attributesOf(asked)) authorize(authorizer, caller, attributes);
  const { name, uid, groups, extra } = asked;
  return {
    name,
    ...(uid === undefined ? {} : { uid }),
    groups: completeGroups(name, groups),
    ...(extra.size > 0 ? { extra: Object.fromEntries(extra) } : {}),
  };
}

interface Impersonation {
  readonly name: string;
  readonly uid: string | undefined;
  readonly groups: readonly string[];
  readonly extra: ReadonlyMap<string, string[]>;
}

function readHeaders(rawHeaders: readonly string[]): Impersonation | undefined {
  let name: string | undefined;
  let uid: string | undefined;
  const groups: string[] = [];
  const extra = new Map<string, string[]>();
  let count = 0;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const header = (rawHeaders[i] ?? '').toLowerCase();
    if (!header.startsWith('impersonate-')) continue;
    const value = rawHeaders[i + 1] ?? '';
    if (++count > maxHeaders) throw badRequest(`more than ${maxHeaders} Impersonate- headers`);
    if (header === 'impersonate-user') name = once(header, name, value);
    else if (header === 'impersonate-uid') uid = once(header, uid, value);
    else if (header === 'impersonate-group') groups.push(value);
    else if (header.startsWith(extraPrefix)) {
      const key = decodeKey(header.slice(extraPrefix.length));
      extra.set(key, [...(extra.get(key) ?? []), value]);
    } else throw badRequest(`the header ${header} is not known`);
  }
  if (count === 0) return undefined;
  if (!name) throw badRequest('groups, a uid or extras were requested without impersonating a user');
  return { name, uid: uid === '' ? undefined : uid, groups, extra };
}

function once(header: string, before: string | undefined, value: string): string {
  if (before !== undefined) throw badRequest(`the header ${header} may be given once`);
  return value;
}

/** Keys are percent-encoded, because a header's name cannot hold every character. */
function decodeKey(encoded: string): string {
  try {
    return decodeURIComponent(encoded).toLowerCase();
  } catch {
    return encoded;
  }
}

function* attributesOf({ name, uid, groups, extra }: Impersonation): Generator<ResourceAttributes> {
  const verb = 'impersonate';
  const account = findServiceAccount(name);
  yield account
    ? { verb, group: '', resource: 'serviceaccounts', ...account }
    : { verb, group: '', resource: 'users', name };
  for (const group of groups) yield { verb, group: '', resource: 'groups', name: group };
  const group = 'authentication.k8s.io';
  for (const [key, values] of extra) {
    for (const value of values) {
      yield { verb, group, resource: 'userextras', subresource: key, name: value };
    }
  }
  if (uid !== undefined) yield { verb, group, resource: 'uids', name: uid };
}

/** Namespace and name in `system:serviceaccount:NAMESPACE:NAME`. */
function findServiceAccount(user: string): { namespace: string; name: string } | undefined {
  const [, namespace = '', name = ''] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user) ?? [];
  return faultOfDnsLabel(namespace) || faultOfDnsSubdomain(name) ? undefined : { namespace, name };
}

/** As Kubernetes: those of a service account are known, and everybody is authenticated or not. */
function completeGroups(name: string, asked: readonly string[]): readonly string[] {
  const account = findServiceAccount(name);
  const groups =
    asked.length === 0 && account
      ? ['system:serviceaccounts', `system:serviceaccounts:${account.namespace}`]
      : asked;
  if (name === anonymous) {
    return groups.includes(unauthenticated) ? groups : [...groups, unauthenticated];
  }
  return groups.includes(authenticated) || groups.includes(unauthenticated)
    ? groups
    : [...groups, authenticated];
}
