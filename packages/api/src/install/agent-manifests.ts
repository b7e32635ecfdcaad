import type { PolicyRule } from '../kinds/access.ts';
import type { KubeObject } from '../object-meta.ts';
import {
  applicationRules,
  inventoryRules,
  linkRules,
  mirrorRules,
  ownNamespaceRules,
  type RbacLevel,
} from './agent-rules.ts';

/** What may be chosen of an agent in a cluster. */
export interface AgentInstall {
  /** Of the agent itself. */
  readonly namespace: string;
  readonly image: string;
  readonly rbac: RbacLevel;
  readonly extraRules: readonly PolicyRule[];
  /** Who may come through the service link, by the hub's names: these users, with these groups of theirs. No users: everybody whom the hub lets. Absent: nobody. */
  readonly link?: { readonly users: readonly string[]; readonly groups: readonly string[] };
  /** Namespaces that other sites may mirror; absent: every one that the agent may read, but for its own. */
  readonly mirrorNamespaces?: readonly string[];
  /** `HTTPS_PROXY` of the agent, for clusters that reach the hub by one. */
  readonly proxy?: string;
  readonly priorityClassName?: string;
}

/** The image of this version. A registry that clusters can reach is for who installs to name. */
export const defaultAgentImage = 'localhost/selvedge-agent:0.1.0';

export const defaultAgentInstall: AgentInstall = {
  namespace: 'selvedge-system',
  image: defaultAgentImage,
  rbac: 'applications',
  extraRules: [],
};

const name = 'selvedge-agent';
/** Nobody's user, in no /etc/passwd of a node. */
const userId = 65532;
const stateVolume = '/var/lib/selvedge';
const tokenVolume = '/etc/selvedge';

/** Objects that make a cluster a site, in the order in which they are applied. `token` is the text of an enrolment token. */
export function agentManifests(install: AgentInstall, token: string): KubeObject[] {
  const { namespace } = install;
  return [
    object({ apiVersion: 'v1', kind: 'Namespace' }, { name: namespace }, {}),
    object({ apiVersion: 'v1', kind: 'ServiceAccount' }, { name, namespace }, {}),
    ...accessObjects(install),
    tokenSecret(namespace, token),
    deployment(install),
  ];
}

/** Used once; the agent needs it no more when it has joined. */
function tokenSecret(namespace: string, token: string): KubeObject {
  return object(
    { apiVersion: 'v1', kind: 'Secret' },
    { name: `${name}-token`, namespace },
    { type: 'Opaque', stringData: { token } },
  );
}

function accessObjects({ namespace, rbac, extraRules, link, mirrorNamespaces }: AgentInstall): KubeObject[] {
  // The wider levels read these kinds everywhere.
  const mirrored = rbac === 'minimal' ? (mirrorNamespaces ?? []) : [];
  const clusterAccess = (part: string, rules: readonly PolicyRule[]) =>
    access({ name: clusterName(part, namespace), rules }, namespace);
  return [
    ...access({ name, namespace, rules: ownNamespaceRules }, namespace),
    ...clusterAccess('inventory', inventoryRules),
    ...(rbac === 'applications' ? clusterAccess('applications', applicationRules) : []),
    ...(rbac === 'cluster-admin'
      ? [binding({ name: clusterName('cluster-admin', namespace) }, 'cluster-admin', namespace)]
      : []),
    ...(extraRules.length > 0 ? clusterAccess('extra', extraRules) : []),
    ...(link === undefined ? [] : clusterAccess('link', linkRules(link))),
    ...mirrored.flatMap((one) =>
      access({ name: clusterName('mirror', namespace), namespace: one, rules: mirrorRules }, namespace),
    ),
  ];
}

/** Of what has no namespace: a cluster may be several sites, each with an agent in a namespace of its own. */
function clusterName(part: string, namespace: string): string {
  return `${name}-${part}:${namespace}`;
}

/** A role and its binding to the agent; with a namespace in it, for there only. */
function access(
  role: { name: string; namespace?: string; rules: readonly PolicyRule[] },
  agentNamespace: string,
): KubeObject[] {
  const { rules, ...metadata } = role;
  const kind = role.namespace === undefined ? 'ClusterRole' : 'Role';
  return [
    object({ apiVersion: rbacVersion, kind }, metadata, { rules: [...rules] }),
    binding(metadata, role.name, agentNamespace),
  ];
}

const rbacVersion = 'rbac.authorization.k8s.io/v1';

function binding(
  metadata: { name: string; namespace?: string },
  role: string,
  agentNamespace: string,
): KubeObject {
  const scope = metadata.namespace === undefined ? 'Cluster' : '';
  return object({ apiVersion: rbacVersion, kind: `${scope}RoleBinding` }, metadata, {
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: `${scope}Role`, name: role },
    subjects: [{ kind: 'ServiceAccount', name, namespace: agentNamespace }],
  });
}

function deployment(install: AgentInstall): KubeObject {
  const { namespace, priorityClassName } = install;
  const labels = { 'app.kubernetes.io/name': name };
  return object(
    { apiVersion: 'apps/v1', kind: 'Deployment' },
    { name, namespace },
    {
      spec: {
        replicas: 1,
        // Never two at once: a site has one agent.
        strategy: { type: 'Recreate' },
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: name,
            ...(priorityClassName === undefined ? {} : { priorityClassName }),
            nodeSelector: { 'kubernetes.io/os': 'linux' },
            // It takes no part in services, so it has no use for their addresses.
            enableServiceLinks: false,
            terminationGracePeriodSeconds: 30,
            securityContext: {
              runAsNonRoot: true,
              runAsUser: userId,
              runAsGroup: userId,
              seccompProfile: { type: 'RuntimeDefault' },
            },
            containers: [agentContainer(install)],
            volumes: [
              { name: 'state', emptyDir: { sizeLimit: '1Gi' } },
              { name: 'token', secret: { secretName: `${name}-token`, optional: true } },
            ],
          },
        },
      },
    },
  );
}

function agentContainer({ image, proxy, mirrorNamespaces }: AgentInstall): Record<string, unknown> {
  return {
    name: 'agent',
    image,
    args: [
      'run',
      '--in-cluster',
      '--state-secret',
      `--state=${stateVolume}/state`,
      `--token-file=${tokenVolume}/token`,
      ...(mirrorNamespaces === undefined ? [] : [`--mirror-namespaces=${mirrorNamespaces.join(',')}`]),
    ],
    // A proxy is on the way to the hub, not to the API of the cluster.
    ...(proxy === undefined ? {} : { env: [{ name: 'HTTPS_PROXY', value: proxy }] }),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    // Idle it takes about 64 MB. No limit on the CPU: a throttled agent is a slow one.
    resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '256Mi' } },
    volumeMounts: [
      { name: 'state', mountPath: stateVolume },
      { name: 'token', mountPath: tokenVolume, readOnly: true },
    ],
  };
}

function object(
  { apiVersion, kind }: { apiVersion: string; kind: string },
  metadata: { name: string; namespace?: string },
  rest: object,
): KubeObject {
  const { namespace } = metadata;
  const labels = { 'app.kubernetes.io/name': name, 'app.kubernetes.io/part-of': 'selvedge' };
  return {
    apiVersion,
    kind,
    metadata: { name: metadata.name, ...(namespace === undefined ? {} : { namespace }), labels },
    ...rest,
  };
}
