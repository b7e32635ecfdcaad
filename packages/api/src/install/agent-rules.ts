import type { PolicyRule } from '../kinds/access.ts';
import { linkNamePrefix } from '../sync/link-protocol.ts';

/** How much of a cluster the agent may change: `docs/guides/kubernetes-sites.md` says what each is for. */
export const rbacLevels = ['minimal', 'applications', 'cluster-admin'] as const;
export type RbacLevel = (typeof rbacLevels)[number];

const read = ['get', 'list', 'watch'];
const manage = [...read, 'create', 'update', 'patch', 'delete'];

/** In its own namespace: the Leases, its state, and what it remembers of each application. */
export const ownNamespaceRules: readonly PolicyRule[] = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
  { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'create', 'update', 'delete'] },
  { apiGroups: [''], resources: ['configmaps'], verbs: manage },
];

/** What the hub shows of a cluster: nothing in it is secret, nothing is changed. */
export const inventoryRules: readonly PolicyRule[] = [
  { apiGroups: [''], resources: ['nodes', 'namespaces'], verbs: read },
  { apiGroups: ['storage.k8s.io'], resources: ['storageclasses'], verbs: read },
];

/** What a mirror reads in a namespace when it names no kinds. Secrets are not among it: they are mirrored by name, and allowed by name. */
export const mirrorRules: readonly PolicyRule[] = [
  {
    apiGroups: [''],
    resources: ['configmaps', 'persistentvolumeclaims', 'serviceaccounts', 'services'],
    verbs: read,
  },
  { apiGroups: ['apps'], resources: ['daemonsets', 'deployments', 'statefulsets'], verbs: read },
  { apiGroups: ['batch'], resources: ['cronjobs', 'jobs'], verbs: read },
  { apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'], verbs: read },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: read },
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'networkpolicies'], verbs: read },
];

/**
 * The usual kinds of applications, in every namespace. Roles among them are no way to more rights: Kubernetes lets nobody grant what he does not
 * have. Pods are read for what is wrong with them, and their logs for the last lines.
 */
export const applicationRules: readonly PolicyRule[] = [
  {
    apiGroups: [''],
    resources: [
      'configmaps',
      'limitranges',
      'namespaces',
      'persistentvolumeclaims',
      'pods',
      'replicationcontrollers',
      'resourcequotas',
      'secrets',
      'serviceaccounts',
      'services',
    ],
    verbs: manage,
  },
  { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
  { apiGroups: [''], resources: ['endpoints', 'events'], verbs: read },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: read },
  { apiGroups: ['apps'], resources: ['controllerrevisions'], verbs: read },
  {
    apiGroups: ['apps'],
    resources: ['daemonsets', 'deployments', 'replicasets', 'statefulsets'],
    verbs: manage,
  },
  { apiGroups: ['batch'], resources: ['cronjobs', 'jobs'], verbs: manage },
  { apiGroups: ['autoscaling'], resources: ['horizontalpodautoscalers'], verbs: manage },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: manage },
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'networkpolicies'], verbs: manage },
  { apiGroups: ['rbac.authorization.k8s.io'], resources: ['rolebindings', 'roles'], verbs: manage },
];

/**
 * People at the hub reach the cluster under names that begin with `selvedge:`. Kubernetes cannot limit impersonation to a prefix: without names
 * this right is as much as cluster-admin, in the hands of the agent. With names, only the named users in the named groups.
 */
export function linkRules(link: { users: readonly string[]; groups: readonly string[] }): PolicyRule[] {
  // Without names the rule is one for all names.
  const rule = (resource: string, names: readonly string[]): PolicyRule => ({
    apiGroups: [''],
    resources: [resource],
    verbs: ['impersonate'],
    ...(names.length === 0 ? {} : { resourceNames: names.map((name) => linkNamePrefix + name) }),
  });
  if (link.users.length === 0) return [rule('users', []), rule('groups', [])];
  return [rule('users', link.users), rule('groups', [...groupsOfAll, ...link.groups])];
}

/** In which everybody is at the hub. Under the link's prefix the name is worth what the site gives it. */
const groupsOfAll = ['system:authenticated'];

/**
 * `certificates.cert-manager.io`, or `pods` of the core group: to be managed as well. Undefined when the text is no such name.
 */
export function parseExtraRule(text: string): PolicyRule | undefined {
  const match = /^([a-z][a-z0-9-]*(?:\/[a-z]+)?|\*)(?:\.([a-z0-9][a-z0-9.-]*))?$/.exec(text);
  if (match?.[1] === undefined) return undefined;
  return { apiGroups: [match[2] ?? ''], resources: [match[1]], verbs: manage };
}
