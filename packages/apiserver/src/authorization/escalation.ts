import { isDeepStrictEqual } from 'node:util';
import {
  type ClusterRole,
  clusterRoles,
  type KubeObject,
  notFound,
  type PolicyRule,
  type ResourceRef,
  type Role,
  type RoleBinding,
  rbacGroup,
  resourceName,
  roles,
  StatusError,
} from '@selvedge/api';
import type { ObjectStore } from '@selvedge/store';
import type { AdmissionContext } from '../resource-definition.ts';
import { fullAuthority, isAdministrator } from './administrators.ts';
import { compactRules, describeRule, maxCombinations, missingRules, quoteAll } from './policy-rule.ts';

interface Change<T extends KubeObject> {
  readonly ref: ResourceRef;
  readonly object: T;
  readonly previous: T | undefined;
}

/** Throws `Forbidden` unless the user has every permission in the role, or may `escalate`. */
export function refuseEscalationByRole(
  { ref, object, previous }: Change<ClusterRole>,
  { user, authorizer }: AdmissionContext,
): void {
  if (isAdministrator(user) || isHousekeeping(object, previous)) return;
  const { namespace, name } = object.metadata;
  const named = previous ? { name } : {};
  const escalate = { verb: 'escalate', group: rbacGroup, resource: ref.plural, namespace, ...named };
  if (authorizer.decide(user, escalate).allowed) return;
  const owned = authorizer.rulesOf(user, namespace);
  const missing = missingRules(owned, object.rules ?? []);
  if (missing === undefined || missing.length > 0) throw forbidden({ ref, name, user }, missing);
  const isAggregated = hasAggregation(object) || (previous !== undefined && hasAggregation(previous));
  if (isAggregated && missingRules(owned, fullAuthority)?.length !== 0) {
    throw refusal(ref, name, 'must have cluster-admin privileges to use the aggregationRule');
  }
}

/** Throws `Forbidden` unless the user has every permission of the role that is bound, or may `bind` it. */
export async function refuseEscalationByBinding(
  { ref, object, previous }: Change<RoleBinding>,
  { user, authorizer }: AdmissionContext,
  store: ObjectStore,
): Promise<void> {
  if (isAdministrator(user) || isHousekeeping(object, previous)) return;
  const { namespace, name } = object.metadata;
  const role = object.roleRef.kind === 'Role' ? roles : clusterRoles;
  const bind = {
    verb: 'bind',
    group: rbacGroup,
    resource: role.plural,
    namespace,
    name: object.roleRef.name,
  };
  if (authorizer.decide(user, bind).allowed) return;
  const key = {
    resource: resourceName(role),
    namespace: role.namespaced ? (namespace ?? '') : '',
    name: object.roleRef.name,
  };
  // From the store, for the role may have been made or changed just now.
  const stored = await store.find(key);
  if (!stored) throw notFound(role, object.roleRef.name);
  const { rules = [] } = JSON.parse(stored.body) as Role;
  const missing = missingRules(authorizer.rulesOf(user, namespace), rules);
  if (missing === undefined || missing.length > 0) throw forbidden({ ref, name, user }, missing);
}

const hasAggregation = ({ aggregationRule }: ClusterRole): boolean =>
  (aggregationRule?.clusterRoleSelectors ?? []).length > 0;

/** Owners and finalizers are what deletion needs; nobody gains by them. */
function isHousekeeping(object: KubeObject, previous: KubeObject | undefined): boolean {
  if (!previous) return false;
  const rest = ({ metadata, ...content }: KubeObject) => {
    const { ownerReferences: _o, finalizers: _f, managedFields: _m, resourceVersion: _r, ...kept } = metadata;
    return { ...content, metadata: kept };
  };
  return isDeepStrictEqual(rest(object), rest(previous));
}

const maxNamed = 50;

function forbidden(
  { ref, name, user }: { ref: ResourceRef; name: string; user: AdmissionContext['user'] },
  missing: readonly PolicyRule[] | undefined,
): StatusError {
  if (missing === undefined) {
    return refusal(
      ref,
      name,
      `its rules hold more than ${maxCombinations} combinations, which cannot be checked: use fewer or wider rules`,
    );
  }
  const lines = compactRules(missing).map(describeRule).sort();
  const more = lines.length > maxNamed ? [`… and ${lines.length - maxNamed} more`] : [];
  return refusal(
    ref,
    name,
    `user ${JSON.stringify(user.name)} (groups=${quoteAll(user.groups)}) is attempting to grant RBAC permissions ` +
      `not currently held:\n${[...lines.slice(0, maxNamed), ...more].join('\n')}`,
  );
}

function refusal(ref: ResourceRef, name: string, why: string): StatusError {
  return new StatusError('Forbidden', `${resourceName(ref)} "${name}" is forbidden: ${why}`, {
    details: { name, group: ref.group, kind: ref.plural },
  });
}
