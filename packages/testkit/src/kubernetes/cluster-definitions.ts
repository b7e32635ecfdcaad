import { type FieldError, fieldInvalid, type KubeObject, type ResourceRef } from '@selvedge/api';
import type { JsonSchema, ResourceDefinition } from '@selvedge/apiserver';

/**
 * Kubernetes' kinds for our own API server, as far as those who bring applications to a cluster can tell the difference: the list maps by
 * which server-side apply merges, the defaults of their keys, a few fields that cannot change, status and scale. What is not named here is
 * kept as it is given. The lists are those of staging/src/k8s.io/api/*\/v1/types.go (`+listMapKey`).
 */
export function clusterDefinitions(): ResourceDefinition[] {
  return [...coreKinds, ...appsKinds, ...batchKinds, ...policyKinds, ...otherKinds];
}

const text: JsonSchema = { type: 'string' };
const number: JsonSchema = { type: 'integer' };
const textMap: JsonSchema = { type: 'object', additionalProperties: text };
const anything: JsonSchema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

function open(properties: Record<string, JsonSchema>, more: JsonSchema = {}): JsonSchema {
  return { type: 'object', 'x-kubernetes-preserve-unknown-fields': true, properties, ...more };
}

function listMap(keys: readonly string[], properties: Record<string, JsonSchema> = {}): JsonSchema {
  const keyFields = Object.fromEntries(keys.map((key) => [key, properties[key] ?? text]));
  return {
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': [...keys],
    items: open(
      { ...properties, ...keyFields },
      { required: keys.filter((key) => !('default' in (keyFields[key] ?? {}))) },
    ),
  };
}

const protocol: JsonSchema = { type: 'string', default: 'TCP' };
const conditions = listMap(['type'], { status: text, reason: text, message: text });
const selector: JsonSchema = { ...open({ matchLabels: textMap }), 'x-kubernetes-map-type': 'atomic' };

const container: Record<string, JsonSchema> = {
  name: { type: 'string', minLength: 1 },
  image: text,
  ports: listMap(['containerPort', 'protocol'], { containerPort: number, protocol, name: text }),
  env: listMap(['name'], { value: text }),
  volumeMounts: listMap(['mountPath']),
  volumeDevices: listMap(['devicePath']),
};

const podSpec = open(
  {
    containers: { ...listMap(['name'], container), minItems: 1 },
    initContainers: listMap(['name'], container),
    ephemeralContainers: listMap(['name'], container),
    volumes: listMap(['name']),
    imagePullSecrets: listMap(['name']),
    hostAliases: listMap(['ip']),
    topologySpreadConstraints: listMap(['topologyKey', 'whenUnsatisfiable']),
    nodeSelector: { ...textMap, 'x-kubernetes-map-type': 'atomic' },
    restartPolicy: { type: 'string', default: 'Always' },
    terminationGracePeriodSeconds: { type: 'integer', default: 30 },
  },
  { required: ['containers'] },
);

const podTemplate = open({
  metadata: open({ labels: textMap, annotations: textMap }),
  spec: podSpec,
});

interface Kind {
  readonly group?: string;
  readonly version?: string;
  readonly plural: string;
  readonly kind: string;
  readonly isGlobal?: true;
  readonly shortNames?: readonly string[];
  readonly properties: Record<string, JsonSchema>;
  readonly hasStatus?: true;
  readonly scale?: ResourceDefinition['scale'];
  /** Paths below the object; what was set cannot change. */
  readonly immutable?: readonly string[];
  readonly selectable?: ResourceDefinition['selectableFields'];
}

function define({ group = '', version = 'v1', plural, kind, ...rest }: Kind): ResourceDefinition {
  const ref: ResourceRef = { group, version, plural, kind, namespaced: rest.isGlobal !== true };
  const { immutable = [] } = rest;
  return {
    ref,
    singular: kind.toLowerCase(),
    ...(rest.shortNames ? { shortNames: rest.shortNames } : {}),
    description: `As Kubernetes' ${kind}.`,
    schema: {
      type: 'object',
      'x-kubernetes-preserve-unknown-fields': true,
      properties: { ...rest.properties, ...(rest.hasStatus ? { status: open({ conditions }) } : {}) },
    },
    columns: [],
    statusSubresource: rest.hasStatus ?? false,
    unconditionalUpdate: true,
    ...(rest.scale ? { scale: rest.scale } : {}),
    ...(rest.selectable ? { selectableFields: rest.selectable } : {}),
    validate: (object, previous) =>
      previous === undefined ? [] : immutable.flatMap((path) => faultOfChange(path, object, previous)),
  };
}

function faultOfChange(path: string, object: KubeObject, previous: KubeObject): FieldError[] {
  const before = valueAt(previous, path);
  const after = valueAt(object, path);
  if (before === undefined || JSON.stringify(sorted(before)) === JSON.stringify(sorted(after))) return [];
  // The words of apimachinery's ValidateImmutableField.
  return [fieldInvalid(path, after, 'field is immutable')];
}

function valueAt(object: KubeObject, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], object);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}

const fieldOf =
  (...path: string[]) =>
  (object: KubeObject): string =>
    textOf(valueAt(object, path.join('.')));

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

const coreKinds = [
  define({
    plural: 'services',
    kind: 'Service',
    shortNames: ['svc'],
    hasStatus: true,
    properties: {
      spec: open({
        ports: listMap(['port', 'protocol'], { port: number, protocol, name: text }),
        selector: { ...textMap, 'x-kubernetes-map-type': 'atomic' },
        type: { type: 'string', default: 'ClusterIP' },
      }),
    },
    immutable: ['spec.clusterIP'],
  }),
  define({
    plural: 'persistentvolumeclaims',
    kind: 'PersistentVolumeClaim',
    shortNames: ['pvc'],
    hasStatus: true,
    properties: { spec: open({}) },
    immutable: ['spec.accessModes', 'spec.storageClassName', 'spec.volumeName'],
  }),
  define({
    plural: 'persistentvolumes',
    kind: 'PersistentVolume',
    isGlobal: true,
    shortNames: ['pv'],
    hasStatus: true,
    properties: { spec: open({}) },
  }),
  define({
    plural: 'pods',
    kind: 'Pod',
    shortNames: ['po'],
    hasStatus: true,
    properties: { spec: podSpec },
    selectable: { 'spec.nodeName': fieldOf('spec', 'nodeName'), 'status.phase': fieldOf('status', 'phase') },
  }),
  define({
    plural: 'nodes',
    kind: 'Node',
    isGlobal: true,
    shortNames: ['no'],
    hasStatus: true,
    properties: { spec: open({}) },
  }),
  define({
    plural: 'endpoints',
    kind: 'Endpoints',
    properties: { subsets: { type: 'array', 'x-kubernetes-list-type': 'atomic', items: anything } },
  }),
  define({ plural: 'limitranges', kind: 'LimitRange', properties: { spec: open({}) } }),
];

const scale = {
  specReplicasPath: '.spec.replicas',
  statusReplicasPath: '.status.replicas',
  labelSelectorPath: '.status.selector',
};
const workload = (
  extra: Record<string, JsonSchema>,
  required = ['selector', 'template'],
): Record<string, JsonSchema> => ({
  spec: open({ selector, template: podTemplate, ...extra }, { required }),
});
const replicas: JsonSchema = { type: 'integer', minimum: 0, default: 1 };
const apps = { group: 'apps', hasStatus: true } as const;

const appsKinds = [
  define({
    ...apps,
    plural: 'deployments',
    kind: 'Deployment',
    shortNames: ['deploy'],
    properties: workload({ replicas }),
    scale,
    immutable: ['spec.selector'],
  }),
  define({
    ...apps,
    plural: 'replicasets',
    kind: 'ReplicaSet',
    shortNames: ['rs'],
    properties: workload({ replicas }),
    scale,
    immutable: ['spec.selector'],
  }),
  define({
    ...apps,
    plural: 'statefulsets',
    kind: 'StatefulSet',
    shortNames: ['sts'],
    properties: workload({
      replicas,
      volumeClaimTemplates: { type: 'array', 'x-kubernetes-list-type': 'atomic', items: anything },
    }),
    scale,
    immutable: ['spec.selector', 'spec.serviceName', 'spec.podManagementPolicy', 'spec.volumeClaimTemplates'],
  }),
  define({
    ...apps,
    plural: 'daemonsets',
    kind: 'DaemonSet',
    shortNames: ['ds'],
    properties: workload({}),
    immutable: ['spec.selector'],
  }),
  define({
    ...apps,
    plural: 'controllerrevisions',
    kind: 'ControllerRevision',
    properties: { data: anything, revision: number },
  }),
];

const batchKinds = [
  define({
    group: 'batch',
    hasStatus: true,
    plural: 'jobs',
    kind: 'Job',
    properties: workload({}, ['template']),
    immutable: ['spec.selector', 'spec.template', 'spec.completions'],
  }),
  define({
    group: 'batch',
    hasStatus: true,
    plural: 'cronjobs',
    kind: 'CronJob',
    shortNames: ['cj'],
    properties: {
      spec: open({
        schedule: text,
        jobTemplate: open({ metadata: anything, spec: open({ template: podTemplate }) }),
      }),
    },
  }),
];

const policyKinds = [
  define({
    group: 'policy',
    hasStatus: true,
    plural: 'poddisruptionbudgets',
    kind: 'PodDisruptionBudget',
    shortNames: ['pdb'],
    properties: { spec: open({ selector }) },
  }),
  define({
    group: 'autoscaling',
    version: 'v2',
    hasStatus: true,
    plural: 'horizontalpodautoscalers',
    kind: 'HorizontalPodAutoscaler',
    shortNames: ['hpa'],
    properties: { spec: open({}) },
  }),
  define({
    group: 'networking.k8s.io',
    plural: 'networkpolicies',
    kind: 'NetworkPolicy',
    properties: { spec: open({}) },
  }),
  define({
    group: 'networking.k8s.io',
    hasStatus: true,
    plural: 'ingresses',
    kind: 'Ingress',
    properties: { spec: open({}) },
  }),
];

const otherKinds = [
  define({
    group: 'storage.k8s.io',
    plural: 'storageclasses',
    kind: 'StorageClass',
    isGlobal: true,
    shortNames: ['sc'],
    properties: {},
  }),
  define({
    group: 'scheduling.k8s.io',
    plural: 'priorityclasses',
    kind: 'PriorityClass',
    isGlobal: true,
    properties: {},
  }),
];
