import type { MergeSchema } from './merge-schema.ts';

/**
 * Which lists of Kubernetes' own kinds a strategic merge knows by a key: `x-kubernetes-patch-merge-key` in its OpenAPI. Every other list is
 * replaced as a whole. `undefined`: a kind that is not Kubernetes' own; none of its lists has an identity then.
 */
export function kubernetesMergeSchema(apiVersion: string, kind: string): MergeSchema | undefined {
  const slash = apiVersion.indexOf('/');
  const group = slash === -1 ? '' : apiVersion.slice(0, slash);
  return kinds.get(`${group}/${kind}`) ?? (isKubernetesGroup(group) ? plainKind : undefined);
}

function isKubernetesGroup(group: string): boolean {
  return group.endsWith('.k8s.io') || ['', 'apps', 'batch', 'autoscaling', 'policy'].includes(group);
}

const leaf: MergeSchema = { properties: new Map(), listType: 'atomic', listMapKeys: [] };
const setOfScalars: MergeSchema = { ...leaf, listType: 'set' };

function object(properties: Readonly<Record<string, MergeSchema>>): MergeSchema {
  return { ...leaf, properties: new Map(Object.entries(properties)) };
}

function listBy(key: string, items: MergeSchema = leaf): MergeSchema {
  return { ...leaf, listType: 'map', listMapKeys: [key], items };
}

const metadata = object({ finalizers: setOfScalars, ownerReferences: listBy('uid') });

const container = object({
  env: listBy('name'),
  ports: listBy('containerPort'),
  volumeDevices: listBy('devicePath'),
  volumeMounts: listBy('mountPath'),
});
const claimTemplate = object({ volumeClaimTemplate: object({ metadata }) });
const podSpec = object({
  containers: listBy('name', container),
  initContainers: listBy('name', container),
  ephemeralContainers: listBy('name', container),
  hostAliases: listBy('ip'),
  imagePullSecrets: listBy('name'),
  resourceClaims: listBy('name'),
  schedulingGates: listBy('name'),
  topologySpreadConstraints: listBy('topologyKey'),
  volumes: listBy('name', object({ ephemeral: claimTemplate })),
});
const podTemplate = object({ metadata, spec: podSpec });
const jobSpec = object({ template: podTemplate });

const ofKind = (properties: Readonly<Record<string, MergeSchema>>) => object({ metadata, ...properties });
const plainKind = ofKind({});
const workload = ofKind({ spec: object({ template: podTemplate }) });

const webhooks = ofKind({ webhooks: listBy('name', object({ matchConditions: listBy('name') })) });

const kinds = new Map<string, MergeSchema>([
  ['/Pod', ofKind({ spec: podSpec })],
  ['/PodTemplate', ofKind({ template: podTemplate })],
  ['/ReplicationController', workload],
  ['/Service', ofKind({ spec: object({ ports: listBy('port') }) })],
  ['/ServiceAccount', ofKind({ secrets: listBy('name') })],
  ['apps/DaemonSet', workload],
  ['apps/Deployment', workload],
  ['apps/ReplicaSet', workload],
  ['apps/StatefulSet', workload],
  ['batch/Job', ofKind({ spec: jobSpec })],
  ['batch/CronJob', ofKind({ spec: object({ jobTemplate: object({ metadata, spec: jobSpec }) }) })],
  ['admissionregistration.k8s.io/MutatingWebhookConfiguration', webhooks],
  ['admissionregistration.k8s.io/ValidatingWebhookConfiguration', webhooks],
]);
