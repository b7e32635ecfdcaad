import type { KubeObject } from '@selvedge/api';

/** Two manifests of one object, and what of the change Kubernetes does not let happen in place. */
export interface ImmutableCase {
  readonly what: string;
  readonly before: KubeObject;
  readonly after: KubeObject;
  /** Empty: an API server takes the change. */
  readonly fields: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

const ofTheCluster: ReadonlySet<string> = new Set([
  'CSIDriver',
  'ClusterRoleBinding',
  'IngressClass',
  'PersistentVolume',
  'PriorityClass',
  'RuntimeClass',
  'StorageClass',
]);

const object = (apiVersion: string, kind: string, rest: Fields): KubeObject => ({
  apiVersion,
  kind,
  metadata: { name: 'immutable-case', ...(ofTheCluster.has(kind) ? {} : { namespace: 'default' }) },
  ...rest,
});

const labels = { app: 'till' };
const container = (image: string, more: Fields = {}) => ({ name: 'main', image, ...more });
const template = (image: string, more: Fields = {}, podLabels: Fields = labels) => ({
  metadata: { labels: podLabels },
  spec: { containers: [container(image)], ...more },
});

const workload = (kind: string, spec: Fields) => object('apps/v1', kind, { spec });
const selector = (value: string) => ({
  selector: { matchLabels: { app: value } },
  template: template('a', {}, { app: value }),
});
const stateful = (more: Fields = {}) =>
  workload('StatefulSet', { serviceName: 'till', ...selector('till'), ...more });
const volumeClaim = (storage: string) => ({
  metadata: { name: 'data' },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
});
const job = (spec: Fields) =>
  object('batch/v1', 'Job', { spec: { template: template('a', { restartPolicy: 'Never' }), ...spec } });
const pod = (spec: Fields) => object('v1', 'Pod', { spec: { containers: [container('a')], ...spec } });
const service = (spec: Fields) =>
  object('v1', 'Service', { spec: { selector: labels, ports: [{ port: 80 }], ...spec } });
const claim = (spec: Fields) =>
  object('v1', 'PersistentVolumeClaim', {
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
  });
const volume = (spec: Fields) =>
  object('v1', 'PersistentVolume', {
    spec: { accessModes: ['ReadWriteOnce'], capacity: { storage: '1Gi' }, ...spec },
  });
const binding = (kind: string, roleRef: Fields) =>
  object('rbac.authorization.k8s.io/v1', kind, {
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'anna' }],
    roleRef,
  });
const role = (name: string) => ({ apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name });
const storageClass = (rest: Fields) => object('storage.k8s.io/v1', 'StorageClass', rest);
const priority = (rest: Fields) => object('scheduling.k8s.io/v1', 'PriorityClass', rest);
const toleration = (key: string) => ({ key, operator: 'Exists', effect: 'NoSchedule' });

/** The list of what is checked, against the table and against Kubernetes. */
export const immutableCases: readonly ImmutableCase[] = [
  ...['Deployment', 'ReplicaSet', 'DaemonSet'].map((kind) => ({
    what: `the selector of a ${kind}`,
    before: workload(kind, selector('till')),
    after: workload(kind, selector('shop')),
    fields: ['spec.selector'],
  })),
  {
    what: 'the image and the replicas of a Deployment',
    before: workload('Deployment', { ...selector('till'), replicas: 1 }),
    after: workload('Deployment', { ...selector('till'), template: template('b'), replicas: 2 }),
    fields: [],
  },
  {
    what: 'the service of a StatefulSet',
    before: stateful(),
    after: stateful({ serviceName: 'shop' }),
    fields: ['spec.serviceName'],
  },
  {
    what: 'the volumes of a StatefulSet',
    before: stateful({ volumeClaimTemplates: [volumeClaim('1Gi')] }),
    after: stateful({ volumeClaimTemplates: [volumeClaim('2Gi')] }),
    fields: ['spec.volumeClaimTemplates'],
  },
  {
    what: 'what may change of a StatefulSet, and a default that is now written',
    before: stateful({ replicas: 1 }),
    after: stateful({
      replicas: 2,
      template: template('b'),
      minReadySeconds: 5,
      revisionHistoryLimit: 3,
      podManagementPolicy: 'OrderedReady',
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } },
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Delete' },
    }),
    fields: [],
  },
  {
    what: 'how a StatefulSet manages its pods',
    before: stateful(),
    after: stateful({ podManagementPolicy: 'Parallel' }),
    fields: ['spec.podManagementPolicy'],
  },
  {
    what: 'the template of a Job',
    before: job({}),
    after: job({ template: template('b', { restartPolicy: 'Never' }) }),
    fields: ['spec.template'],
  },
  {
    what: 'where the pods of a suspended Job run',
    before: job({ suspend: true }),
    after: job({
      suspend: true,
      template: template('a', { restartPolicy: 'Never', nodeSelector: { disk: 'ssd' } }),
    }),
    fields: [],
  },
  {
    what: 'the completions of a Job',
    before: job({ completions: 1 }),
    after: job({ completions: 2 }),
    fields: ['spec.completions'],
  },
  {
    what: 'what may change of a Job',
    before: job({ backoffLimit: 3 }),
    after: job({
      completions: 1,
      parallelism: 2,
      backoffLimit: 4,
      suspend: true,
      ttlSecondsAfterFinished: 60,
    }),
    fields: [],
  },
  {
    what: 'both numbers of an Indexed Job',
    before: job({ completionMode: 'Indexed', completions: 2, parallelism: 2 }),
    after: job({ completionMode: 'Indexed', completions: 3, parallelism: 3 }),
    fields: [],
  },
  {
    what: 'one number of an Indexed Job',
    before: job({ completionMode: 'Indexed', completions: 2, parallelism: 2 }),
    after: job({ completionMode: 'Indexed', completions: 3, parallelism: 2 }),
    fields: ['spec.completions'],
  },
  {
    what: 'the mode and the failure policy of a Job',
    before: job({ completions: 2 }),
    after: job({
      completions: 2,
      completionMode: 'Indexed',
      parallelism: 2,
      podFailurePolicy: { rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [3] } }] },
    }),
    fields: ['spec.completionMode', 'spec.podFailurePolicy'],
  },
  { what: 'the image of a Pod', before: pod({}), after: pod({ containers: [container('b')] }), fields: [] },
  {
    what: 'the command of a Pod',
    before: pod({}),
    after: pod({ containers: [container('a', { args: ['x'] })] }),
    fields: ['spec.containers'],
  },
  {
    what: 'the tolerations of a Pod, one more',
    before: pod({ tolerations: [toleration('a')] }),
    after: pod({ tolerations: [toleration('a'), toleration('b')] }),
    fields: [],
  },
  {
    what: 'the tolerations of a Pod, another',
    before: pod({ tolerations: [toleration('a')] }),
    after: pod({ tolerations: [toleration('b')] }),
    fields: ['spec.tolerations'],
  },
  {
    what: 'a later deadline of a Pod',
    before: pod({ activeDeadlineSeconds: 60 }),
    after: pod({ activeDeadlineSeconds: 90 }),
    fields: ['spec.activeDeadlineSeconds'],
  },
  {
    what: 'an earlier deadline of a Pod',
    before: pod({ activeDeadlineSeconds: 60 }),
    after: pod({ activeDeadlineSeconds: 30 }),
    fields: [],
  },
  {
    what: 'the node of a Pod and its restarts',
    before: pod({}),
    after: pod({ nodeSelector: { disk: 'ssd' }, restartPolicy: 'Never' }),
    fields: ['spec.nodeSelector', 'spec.restartPolicy'],
  },
  {
    what: 'a Service that becomes headless',
    before: service({}),
    after: service({ clusterIP: 'None' }),
    fields: ['spec.clusterIP'],
  },
  {
    what: 'a headless Service that says so no more',
    before: service({ clusterIP: 'None' }),
    after: service({}),
    fields: [],
  },
  {
    what: 'the ports and the type of a Service',
    before: service({}),
    after: service({ type: 'NodePort', ports: [{ port: 81 }] }),
    fields: [],
  },
  {
    what: 'the class of a load balancer',
    before: service({ type: 'LoadBalancer', loadBalancerClass: 'example.com/a' }),
    after: service({ type: 'LoadBalancer', loadBalancerClass: 'example.com/b' }),
    fields: ['spec.loadBalancerClass'],
  },
  {
    what: 'the class and the modes of a PersistentVolumeClaim',
    before: claim({ storageClassName: 'a' }),
    after: claim({ storageClassName: 'b', accessModes: ['ReadWriteMany'], volumeMode: 'Block' }),
    fields: ['spec.accessModes', 'spec.storageClassName', 'spec.volumeMode'],
  },
  {
    what: 'a default of a PersistentVolumeClaim that is now written, and which volume it gets',
    before: claim({ storageClassName: 'a' }),
    after: claim({ storageClassName: 'a', volumeMode: 'Filesystem', volumeName: 'v' }),
    fields: [],
  },
  {
    what: 'another volume of a PersistentVolumeClaim',
    before: claim({ storageClassName: 'a', volumeName: 'v' }),
    after: claim({ storageClassName: 'a', volumeName: 'w' }),
    fields: ['spec.volumeName'],
  },
  {
    what: 'the source of a PersistentVolume',
    before: volume({ hostPath: { path: '/a', type: '' } }),
    after: volume({ hostPath: { path: '/b', type: '' } }),
    fields: ['spec.hostPath'],
  },
  {
    what: 'what may change of a PersistentVolume',
    before: volume({ hostPath: { path: '/a', type: '' }, persistentVolumeReclaimPolicy: 'Retain' }),
    after: volume({
      hostPath: { path: '/a', type: '' },
      persistentVolumeReclaimPolicy: 'Delete',
      capacity: { storage: '2Gi' },
      storageClassName: 'b',
    }),
    fields: [],
  },
  {
    what: 'the data of a ConfigMap that says that it is immutable',
    before: object('v1', 'ConfigMap', { immutable: true, data: { a: '1' } }),
    after: object('v1', 'ConfigMap', { immutable: true, data: { a: '2' } }),
    fields: ['data'],
  },
  {
    what: 'that a ConfigMap is immutable, no more',
    before: object('v1', 'ConfigMap', { immutable: true, data: { a: '1' } }),
    after: object('v1', 'ConfigMap', { data: { a: '1' } }),
    fields: ['immutable'],
  },
  {
    what: 'the data of a ConfigMap',
    before: object('v1', 'ConfigMap', { data: { a: '1' } }),
    after: object('v1', 'ConfigMap', { immutable: true, data: { a: '2' } }),
    fields: [],
  },
  {
    what: 'the type of a Secret',
    before: object('v1', 'Secret', { stringData: { a: '1' } }),
    after: object('v1', 'Secret', { type: 'example.com/x', stringData: { a: '1' } }),
    fields: ['type'],
  },
  {
    what: 'the same data of an immutable Secret in another form',
    before: object('v1', 'Secret', { immutable: true, data: { a: 'MQ==' } }),
    after: object('v1', 'Secret', { immutable: true, type: 'Opaque', data: { a: 'MQ==' } }),
    fields: [],
  },
  {
    what: 'the data of an immutable Secret',
    before: object('v1', 'Secret', { immutable: true, data: { a: 'MQ==' } }),
    after: object('v1', 'Secret', { immutable: true, data: { a: 'Mg==' } }),
    fields: ['data'],
  },
  ...['RoleBinding', 'ClusterRoleBinding'].map((kind) => ({
    what: `the role of a ${kind}`,
    before: binding(kind, role('view')),
    after: binding(kind, role('edit')),
    fields: ['roleRef'],
  })),
  {
    what: 'all of a StorageClass',
    before: storageClass({ provisioner: 'example.com/a', parameters: { type: 'a' } }),
    after: storageClass({
      provisioner: 'example.com/b',
      parameters: { type: 'b' },
      reclaimPolicy: 'Retain',
      volumeBindingMode: 'WaitForFirstConsumer',
    }),
    fields: ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode'],
  },
  {
    what: 'that a StorageClass lets volumes grow',
    before: storageClass({ provisioner: 'example.com/a' }),
    after: storageClass({
      provisioner: 'example.com/a',
      reclaimPolicy: 'Delete',
      allowVolumeExpansion: true,
    }),
    fields: [],
  },
  {
    what: 'the controller of an IngressClass',
    before: object('networking.k8s.io/v1', 'IngressClass', { spec: { controller: 'example.com/a' } }),
    after: object('networking.k8s.io/v1', 'IngressClass', { spec: { controller: 'example.com/b' } }),
    fields: ['spec.controller'],
  },
  {
    what: 'the value of a PriorityClass',
    before: priority({ value: 10 }),
    after: priority({ value: 20, preemptionPolicy: 'Never' }),
    fields: ['preemptionPolicy', 'value'],
  },
  {
    what: 'the description of a PriorityClass',
    before: priority({ value: 10 }),
    after: priority({ value: 10, description: 'x', preemptionPolicy: 'PreemptLowerPriority' }),
    fields: [],
  },
  {
    what: 'the handler of a RuntimeClass',
    before: object('node.k8s.io/v1', 'RuntimeClass', { handler: 'runc' }),
    after: object('node.k8s.io/v1', 'RuntimeClass', { handler: 'kata' }),
    fields: ['handler'],
  },
  {
    what: 'whether a CSIDriver is attached',
    before: object('storage.k8s.io/v1', 'CSIDriver', { spec: {} }),
    after: object('storage.k8s.io/v1', 'CSIDriver', { spec: { attachRequired: false } }),
    fields: ['spec.attachRequired'],
  },
  {
    what: 'the scopes of a ResourceQuota',
    before: object('v1', 'ResourceQuota', { spec: { hard: { pods: '1' }, scopes: ['BestEffort'] } }),
    after: object('v1', 'ResourceQuota', { spec: { hard: { pods: '2' }, scopes: ['NotBestEffort'] } }),
    fields: ['spec.scopes'],
  },
  {
    what: 'an object of a kind that nobody knows here',
    before: object('v1', 'LimitRange', { spec: { limits: [] } }),
    after: object('v1', 'LimitRange', { spec: { limits: [{ type: 'Pod', max: { cpu: '1' } }] } }),
    fields: [],
  },
];
