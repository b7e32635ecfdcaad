import { type ClusterRole, type PolicyRule, type RoleBinding, rbacGroup, type Subject } from '@selvedge/api';
import { administratorsGroup, fullAuthority } from './administrators.ts';

/** Roles and bindings that a server starts with; see `reconcileDefaults` for what happens to them later. */
export interface DefaultAccess {
  readonly clusterRoles: readonly ClusterRole[];
  readonly clusterRoleBindings: readonly RoleBinding[];
}

/** The verbs that read. */
export const readVerbs: readonly string[] = ['get', 'list', 'watch'];
export const writeVerbs: readonly string[] = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const authorization = 'authorization.k8s.io';
const authentication = 'authentication.k8s.io';

/** What the roles `view`, `edit` and `admin` are made of: each has the label of the smallest one that gets its rules. */
export type AggregateTo = 'view' | 'edit' | 'admin';

export function clusterRole(
  name: string,
  rules: readonly PolicyRule[],
  { aggregateTo }: { aggregateTo?: AggregateTo } = {},
): ClusterRole {
  return {
    apiVersion: `${rbacGroup}/v1`,
    kind: 'ClusterRole',
    metadata: { name, ...(aggregateTo ? { labels: { [aggregationLabel(aggregateTo)]: 'true' } } : {}) },
    rules: [...rules],
  };
}

export function clusterRoleBinding(name: string, role: string, groups: readonly string[]): RoleBinding {
  const subjects = groups.map((group): Subject => ({ kind: 'Group', apiGroup: rbacGroup, name: group }));
  return {
    apiVersion: `${rbacGroup}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name },
    subjects,
    roleRef: { apiGroup: rbacGroup, kind: 'ClusterRole', name: role },
  };
}

/** A rule for resources of one group. */
export function allow(verbs: readonly string[], group: string, resources: readonly string[]): PolicyRule {
  return { verbs: [...verbs], apiGroups: [group], resources: [...resources] };
}

const allowGet = (...paths: string[]): PolicyRule => ({ verbs: ['get'], nonResourceURLs: paths });

const aggregationLabel = (to: AggregateTo) => `rbac.authorization.k8s.io/aggregate-to-${to}`;

/** Gathers what is labelled for it, and is itself a part of the next larger one. */
function aggregatedRole(name: AggregateTo, partOf?: AggregateTo): ClusterRole {
  const { rules: _, ...role } = clusterRole(name, [], partOf ? { aggregateTo: partOf } : {});
  return {
    ...role,
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [aggregationLabel(name)]: 'true' } }] },
  };
}

const healthPaths = ['/livez', '/readyz', '/healthz'];
const versionPaths = ['/version', '/version/'];

/** Those of Kubernetes, as far as what they speak of exists here. */
export const kubernetesDefaults: DefaultAccess = {
  clusterRoles: [
    clusterRole('cluster-admin', fullAuthority),
    aggregatedRole('admin'),
    aggregatedRole('edit', 'admin'),
    aggregatedRole('view', 'edit'),
    clusterRole(
      'system:aggregate-to-admin',
      [
        allow(['create'], authorization, ['localsubjectaccessreviews']),
        allow([...readVerbs, ...writeVerbs], rbacGroup, ['roles', 'rolebindings']),
      ],
      { aggregateTo: 'admin' },
    ),
    clusterRole(
      'system:aggregate-to-edit',
      [
        allow(readVerbs, '', ['secrets']),
        allow(writeVerbs, '', ['configmaps', 'events', 'secrets', 'serviceaccounts']),
        allow(writeVerbs, 'events.k8s.io', ['events']),
        // To make their deletion wait for what they own.
        allow(['update'], '', ['configmaps/finalizers', 'secrets/finalizers', 'serviceaccounts/finalizers']),
        allow(['create'], '', ['serviceaccounts/token']),
        allow(['impersonate'], '', ['serviceaccounts']),
        allow([...readVerbs, ...writeVerbs], 'coordination.k8s.io', ['leases']),
      ],
      { aggregateTo: 'edit' },
    ),
    // Without secrets: who may look shall not be able to act as somebody else.
    clusterRole(
      'system:aggregate-to-view',
      [
        allow(readVerbs, '', ['configmaps', 'events', 'namespaces', 'namespaces/status', 'serviceaccounts']),
        allow(readVerbs, '', ['resourcequotas', 'resourcequotas/status', 'services']),
        allow(readVerbs, 'events.k8s.io', ['events']),
      ],
      { aggregateTo: 'view' },
    ),
    clusterRole('system:discovery', [
      allowGet(
        ...healthPaths,
        ...versionPaths,
        '/openapi',
        '/openapi/*',
        '/api',
        '/api/*',
        '/apis',
        '/apis/*',
      ),
    ]),
    clusterRole('system:basic-user', [
      allow(['create'], authorization, ['selfsubjectaccessreviews', 'selfsubjectrulesreviews']),
      allow(['create'], authentication, ['selfsubjectreviews']),
    ]),
    clusterRole('system:public-info-viewer', [allowGet(...healthPaths, ...versionPaths)]),
    clusterRole('system:monitoring', [
      allowGet('/metrics', ...healthPaths, ...healthPaths.map((path) => `${path}/*`)),
    ]),
    clusterRole('system:auth-delegator', [
      allow(['create'], authentication, ['tokenreviews']),
      allow(['create'], authorization, ['subjectaccessreviews']),
    ]),
    clusterRole('system:service-account-issuer-discovery', [
      allowGet('/.well-known/openid-configuration', '/.well-known/openid-configuration/', '/openid/v1/jwks'),
    ]),
  ],
  clusterRoleBindings: [
    clusterRoleBinding('cluster-admin', 'cluster-admin', [administratorsGroup]),
    clusterRoleBinding('system:discovery', 'system:discovery', ['system:authenticated']),
    clusterRoleBinding('system:basic-user', 'system:basic-user', ['system:authenticated']),
    clusterRoleBinding('system:public-info-viewer', 'system:public-info-viewer', [
      'system:authenticated',
      'system:unauthenticated',
    ]),
    clusterRoleBinding('system:monitoring', 'system:monitoring', ['system:monitoring']),
    clusterRoleBinding('system:service-account-issuer-discovery', 'system:service-account-issuer-discovery', [
      'system:serviceaccounts',
    ]),
  ],
};
