import { canonicalJson, type KubeObject } from '@selvedge/api';

type Json = unknown;
type JsonObject = Readonly<Record<string, Json>>;

/** Paths of the fields that change although Kubernetes does not let them change. */
type FindChanges = (before: JsonObject, after: JsonObject) => string[];

/**
 * Fields of an object that an update may not change, of those in which two manifests of it differ. Pure. After the update validation
 * of Kubernetes 1.36 (`pkg/apis/<group>/validation`); what a site's own Kubernetes says counts in the end, when the release is prepared there.
 * What a manifest leaves out is taken to have its default.
 */
export function immutableChanges(before: KubeObject, after: KubeObject): string[] {
  const group = before.apiVersion.includes('/')
    ? before.apiVersion.slice(0, before.apiVersion.indexOf('/'))
    : '';
  const find = kinds[`${group}/${before.kind}`];
  return find === undefined ? [] : find(asObject(before), asObject(after)).toSorted();
}

/** The values of these fields, by their paths; with the default of each where it has one. */
function fields(paths: Readonly<Record<string, Json>>): FindChanges {
  return (before, after) =>
    Object.entries(paths).flatMap(([path, byDefault]) =>
      isSame(valueAt(before, path) ?? byDefault, valueAt(after, path) ?? byDefault) ? [] : [path],
    );
}

/** Every field of `spec` but those that may change. */
function specBut(allowed: readonly string[], defaults: JsonObject = {}): FindChanges {
  return (before, after) => {
    const [from, to] = [asObject(before['spec']), asObject(after['spec'])];
    const keys = new Set([...Object.keys(from), ...Object.keys(to)]);
    return [...keys]
      .filter((key) => !allowed.includes(key))
      .filter((key) => !isSame(from[key] ?? defaults[key], to[key] ?? defaults[key]))
      .map((key) => `spec.${key}`);
  };
}

const selectorOnly = fields({ 'spec.selector': undefined });
const roleRef: FindChanges = (before, after) => {
  const [from, to] = [before, after].map((object) => ({
    apiGroup: 'rbac.authorization.k8s.io',
    ...asObject(object['roleRef']),
  }));
  return isSame(from, to) ? [] : ['roleRef'];
};

const kinds: Readonly<Record<string, FindChanges>> = {
  'apps/Deployment': selectorOnly,
  'apps/ReplicaSet': selectorOnly,
  'apps/DaemonSet': selectorOnly,
  'apps/StatefulSet': specBut(
    [
      'replicas',
      'template',
      'updateStrategy',
      'minReadySeconds',
      'ordinals',
      'revisionHistoryLimit',
      'persistentVolumeClaimRetentionPolicy',
    ],
    { podManagementPolicy: 'OrderedReady', serviceName: '' },
  ),
  'apps/ControllerRevision': fields({ data: undefined }),
  'batch/Job': jobChanges,
  '/Pod': podChanges,
  '/Service': serviceChanges,
  '/PersistentVolumeClaim': claimChanges,
  '/PersistentVolume': volumeChanges,
  '/ConfigMap': sealedChanges,
  '/Secret': (before, after) => [
    ...fields({ type: 'Opaque' })(before, after),
    ...sealedChanges(withPlainData(before), withPlainData(after)),
  ],
  '/ResourceQuota': fields({ 'spec.scopes': undefined }),
  'rbac.authorization.k8s.io/RoleBinding': roleRef,
  'rbac.authorization.k8s.io/ClusterRoleBinding': roleRef,
  'storage.k8s.io/StorageClass': fields({
    provisioner: undefined,
    parameters: undefined,
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'Immediate',
  }),
  'storage.k8s.io/CSIDriver': fields({
    'spec.attachRequired': true,
    'spec.volumeLifecycleModes': ['Persistent'],
  }),
  'networking.k8s.io/IngressClass': fields({ 'spec.controller': undefined }),
  'scheduling.k8s.io/PriorityClass': fields({ value: 0, preemptionPolicy: 'PreemptLowerPriority' }),
  'node.k8s.io/RuntimeClass': fields({ handler: undefined }),
  'discovery.k8s.io/EndpointSlice': fields({ addressType: undefined }),
  'resource.k8s.io/ResourceClaim': specBut([]),
  'resource.k8s.io/ResourceClaimTemplate': specBut([]),
  'apiextensions.k8s.io/CustomResourceDefinition': fields({
    'spec.group': undefined,
    'spec.scope': undefined,
    'spec.names.plural': undefined,
    'spec.names.kind': undefined,
  }),
};

function jobChanges(before: JsonObject, after: JsonObject): string[] {
  const mode = (job: JsonObject) => valueAt(job, 'spec.completionMode') ?? 'NonIndexed';
  /** Of a job that says neither how often nor how much at once, one. */
  const completions = (job: JsonObject) =>
    valueAt(job, 'spec.completions') ?? (valueAt(job, 'spec.parallelism') === undefined ? 1 : undefined);
  const changes = fields({
    'spec.selector': undefined,
    'spec.completionMode': 'NonIndexed',
    'spec.podFailurePolicy': undefined,
    'spec.backoffLimitPerIndex': undefined,
    'spec.managedBy': 'kubernetes.io/job-controller',
    'spec.successPolicy': undefined,
  })(before, after);
  if (
    !isSame(completions(before), completions(after)) &&
    !isElastic(after, mode(after), completions(after))
  ) {
    changes.push('spec.completions');
  }
  const isSuspended = valueAt(before, 'spec.suspend') === true;
  const [from, to] = [before, after].map((job) => {
    const template = asObject(valueAt(job, 'spec.template'));
    return isSuspended ? withoutScheduling(template) : template;
  });
  if (!isSame(from, to)) changes.push('spec.template');
  return changes;
}

/** An Indexed job may change both numbers together. */
function isElastic(job: JsonObject, mode: Json, completions: Json): boolean {
  return (
    mode === 'Indexed' &&
    completions !== undefined &&
    isSame(valueAt(job, 'spec.parallelism') ?? 1, completions)
  );
}

/** Where pods of a suspended job will run may still change. */
function withoutScheduling(template: JsonObject): JsonObject {
  const { metadata, spec, ...rest } = template;
  const { labels: _l, annotations: _a, ...meta } = asObject(metadata);
  const { nodeSelector: _n, tolerations: _t, schedulingGates: _g, affinity, ...pod } = asObject(spec);
  const { nodeAffinity: _f, ...kept } = asObject(affinity);
  return { ...rest, metadata: meta, spec: { ...pod, affinity: kept } };
}

/** Of a pod only images may change, tolerations be added, scheduling gates be taken away, and its deadline come earlier. */
function podChanges(before: JsonObject, after: JsonObject): string[] {
  const apart = ['containers', 'initContainers', 'tolerations', 'schedulingGates', 'activeDeadlineSeconds'];
  const changes = specBut(apart, { terminationGracePeriodSeconds: 30, restartPolicy: 'Always' })(
    before,
    after,
  );
  const [from, to] = [asObject(before['spec']), asObject(after['spec'])];
  for (const key of ['containers', 'initContainers'] as const) {
    if (!isSame(withoutImages(from[key]), withoutImages(to[key]))) changes.push(`spec.${key}`);
  }
  const kept = (key: 'tolerations' | 'schedulingGates', list: JsonObject, within: JsonObject) =>
    asList(list[key]).every((item) => asList(within[key]).some((other) => isSame(item, other)));
  if (!kept('tolerations', from, to)) changes.push('spec.tolerations');
  if (!kept('schedulingGates', to, from)) changes.push('spec.schedulingGates');
  const [old, wanted] = [from['activeDeadlineSeconds'], to['activeDeadlineSeconds']];
  if (typeof old === 'number' && !(typeof wanted === 'number' && wanted <= old)) {
    changes.push('spec.activeDeadlineSeconds');
  }
  return changes;
}

function withoutImages(containers: Json): Json {
  return asList(containers).map((container) => {
    const { image: _image, ...rest } = asObject(container);
    return rest;
  });
}

/** An address that a manifest does not give is kept as it is. Services by a foreign name have none. */
function serviceChanges(before: JsonObject, after: JsonObject): string[] {
  const type = (service: JsonObject) => valueAt(service, 'spec.type') ?? 'ClusterIP';
  if (type(before) === 'ExternalName' || type(after) === 'ExternalName') return [];
  const changes: string[] = [];
  const [from, to] = [asObject(before['spec']), asObject(after['spec'])];
  const first = (value: Json) => asList(value)[0];
  const isOther = (old: Json, wanted: Json) => wanted !== undefined && wanted !== '' && !isSame(old, wanted);
  if (isOther(from['clusterIP'] ?? first(from['clusterIPs']), to['clusterIP'] ?? first(to['clusterIPs']))) {
    changes.push('spec.clusterIP');
  }
  const [oldFamily, family] = [first(from['ipFamilies']), first(to['ipFamilies'])];
  if (oldFamily !== undefined && isOther(oldFamily, family)) changes.push('spec.ipFamilies');
  if (type(before) === 'LoadBalancer' && type(after) === 'LoadBalancer') {
    changes.push(...fields({ 'spec.loadBalancerClass': undefined })(before, after));
  }
  return changes;
}

/** A claim may ask for more; by which class its volume is tuned, and, once, which volume it gets may be said later. */
function claimChanges(before: JsonObject, after: JsonObject): string[] {
  const changes = specBut(['resources', 'volumeAttributesClassName', 'volumeName'], {
    volumeMode: 'Filesystem',
  })(before, after);
  const volume = valueAt(before, 'spec.volumeName') ?? '';
  if (volume !== '' && !isSame(volume, valueAt(after, 'spec.volumeName') ?? ''))
    changes.push('spec.volumeName');
  const others = (claim: JsonObject) => {
    const { requests, ...rest } = asObject(valueAt(claim, 'spec.resources'));
    const { storage: _storage, ...more } = asObject(requests);
    return { ...rest, requests: more };
  };
  if (!isSame(others(before), others(after))) changes.push('spec.resources');
  return changes;
}

const notOfTheSource = [
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
];

function volumeChanges(before: JsonObject, after: JsonObject): string[] {
  const changes = specBut(notOfTheSource, { volumeMode: 'Filesystem' })(
    before,
    addedSecretLeftOut(before, after),
  );
  if (valueAt(before, 'spec.nodeAffinity') !== undefined) {
    changes.push(...fields({ 'spec.nodeAffinity': undefined })(before, after));
  }
  return changes;
}

/** The secret for growing a CSI volume may be named later. */
function addedSecretLeftOut(before: JsonObject, after: JsonObject): JsonObject {
  const csi = valueAt(after, 'spec.csi');
  if (csi === undefined || valueAt(before, 'spec.csi.controllerExpandSecretRef') !== undefined) return after;
  const { controllerExpandSecretRef: _ref, ...rest } = asObject(csi);
  return { ...after, spec: { ...asObject(after['spec']), csi: rest } };
}

/** Of a ConfigMap or Secret with `immutable: true` nothing may change. */
function sealedChanges(before: JsonObject, after: JsonObject): string[] {
  if (before['immutable'] !== true) return [];
  return fields({ data: {}, binaryData: {}, immutable: false })(before, after);
}

/** As the API server keeps it: `stringData` as data. */
function withPlainData(secret: JsonObject): JsonObject {
  const { stringData, ...rest } = secret;
  const added = Object.entries(asObject(stringData)).map(([key, text]) => [
    key,
    Buffer.from(String(text), 'utf8').toString('base64'),
  ]);
  return { ...rest, data: { ...asObject(secret['data']), ...Object.fromEntries(added) } };
}

function valueAt(object: JsonObject, path: string): Json {
  return path.split('.').reduce<Json>((value, key) => asObject(value)[key], object);
}

/** What is absent, null and (of lists and maps) empty are one in the objects of Kubernetes. */
function isSame(a: Json, b: Json): boolean {
  return canonicalJson(plain(a) ?? null) === canonicalJson(plain(b) ?? null);
}

function plain(value: Json): Json {
  if (Array.isArray(value)) return value.length === 0 ? undefined : value.map((item) => plain(item) ?? null);
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  const entries = Object.entries(value).flatMap(([key, item]): [string, Json][] => {
    const kept = plain(item);
    return kept === undefined ? [] : [[key, kept]];
  });
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function asObject(value: Json): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
}

function asList(value: Json): readonly Json[] {
  return Array.isArray(value) ? value : [];
}
