import { isDeepStrictEqual } from 'node:util';
import { isObject, type JsonObject } from '../../drift/json-pointer.ts';
import { stripTemplateMetadata } from './strip-metadata.ts';
import { stripPodSpec, stripPodTemplate } from './strip-pod-template.ts';
import { without, withField, withItems, withItemsThat, withoutDefaults } from './without-defaults.ts';

type Strip = (object: JsonObject) => JsonObject;

const ofSpec =
  (strip: Strip): Strip =>
  (object) =>
    withField(object, 'spec', strip);

const ofTemplate = (spec: JsonObject): JsonObject => withField(spec, 'template', stripPodTemplate);

const deploymentDefaults: JsonObject = {
  progressDeadlineSeconds: 600,
  revisionHistoryLimit: 10,
  strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
  paused: false,
};
const statefulSetDefaults: JsonObject = {
  serviceName: '',
  podManagementPolicy: 'OrderedReady',
  revisionHistoryLimit: 10,
  updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
  persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
};
const daemonSetDefaults: JsonObject = {
  revisionHistoryLimit: 10,
  updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
};
const jobDefaults: JsonObject = {
  backoffLimit: 6,
  completions: 1,
  parallelism: 1,
  completionMode: 'NonIndexed',
  suspend: false,
  podReplacementPolicy: 'TerminatingOrFailed',
  manualSelector: false,
};
const cronJobDefaults: JsonObject = {
  concurrencyPolicy: 'Allow',
  successfulJobsHistoryLimit: 3,
  failedJobsHistoryLimit: 1,
  suspend: false,
};
/** Of the Service's address in that cluster, and of the load balancer that its cloud made. */
const ownOfService = [
  'clusterIPs',
  'ipFamilies',
  'healthCheckNodePort',
  'loadBalancerIP',
  'loadBalancerClass',
  'externalIPs',
];
const serviceDefaults: JsonObject = {
  type: 'ClusterIP',
  sessionAffinity: 'None',
  sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } },
  internalTrafficPolicy: 'Cluster',
  externalTrafficPolicy: 'Cluster',
  ipFamilyPolicy: 'SingleStack',
  allocateLoadBalancerNodePorts: true,
};
/** Set by the Job controller on the pods of each Job, so that it finds them by its selector. */
const jobLabels = [
  'controller-uid',
  'job-name',
  'batch.kubernetes.io/controller-uid',
  'batch.kubernetes.io/job-name',
];
/** Made by OpenShift for each service account. */
const dockerConfig = /-dockercfg-[a-z0-9]{5}$/;

/** By group and kind. What is not named here loses its status and its metadata, nothing else. */
const strips: Readonly<Record<string, Strip>> = {
  'apps/Deployment': ofSpec((spec) => ofTemplate(withoutDefaults(spec, deploymentDefaults))),
  'apps/StatefulSet': ofSpec((spec) =>
    withItems(ofTemplate(withoutDefaults(spec, statefulSetDefaults)), 'volumeClaimTemplates', (claim) =>
      withField(
        without({ ...claim, metadata: strippedMetadata(claim) }, ['apiVersion', 'kind', 'status']),
        'spec',
        (one) => withoutDefaults(one, { volumeMode: 'Filesystem' }),
      ),
    ),
  ),
  'apps/DaemonSet': ofSpec((spec) => ofTemplate(withoutDefaults(spec, daemonSetDefaults))),
  'apps/ReplicaSet': ofSpec(ofTemplate),
  'batch/Job': ofSpec(stripJob),
  'batch/CronJob': ofSpec((spec) =>
    withField(withoutDefaults(spec, cronJobDefaults), 'jobTemplate', (template) => {
      const metadata = strippedMetadata(template);
      const rest = without(template, ['metadata']);
      const named = Object.keys(metadata).length === 0 ? rest : { ...rest, metadata };
      return withField(named, 'spec', stripJob);
    }),
  ),
  '/Pod': ofSpec((spec) => stripPodSpec(spec, { isPod: true })),
  '/Service': ofSpec(stripService),
  '/ServiceAccount': (object) =>
    withItemsThat(
      without(object, ['secrets']),
      'imagePullSecrets',
      ({ name }) => !(typeof name === 'string' && dockerConfig.test(name)),
    ),
  '/PersistentVolumeClaim': ofSpec((spec) =>
    withoutDefaults(without(spec, ['volumeName', 'dataSource', 'dataSourceRef']), {
      volumeMode: 'Filesystem',
    }),
  ),
  'autoscaling/HorizontalPodAutoscaler': ofSpec((spec) => withoutDefaults(spec, { minReplicas: 1 })),
  'networking.k8s.io/NetworkPolicy': ofSpec((spec) => {
    const ofPorts = (rule: JsonObject) =>
      withItems(rule, 'ports', (port) => withoutDefaults(port, { protocol: 'TCP' }));
    return withItems(withItems(spec, 'ingress', ofPorts), 'egress', ofPorts);
  }),
};

/** The fields beside metadata, without what belongs to the cluster alone or only repeats defaults. Pure. */
export function stripFields(
  object: JsonObject,
  { group, kind }: { group: string; kind: string },
): JsonObject {
  const strip = strips[`${group}/${kind}`];
  const rest = without(object, ['status']);
  return strip === undefined ? rest : strip(rest);
}

function strippedMetadata({ metadata }: JsonObject): JsonObject {
  return isObject(metadata) ? stripTemplateMetadata(metadata) : {};
}

/** A Job's selector, and the labels that go with it, name the Job by its uid, unless a person wrote them. */
function stripJob(spec: JsonObject): JsonObject {
  if (spec['manualSelector'] === true) return ofTemplate(withoutDefaults(spec, jobDefaults));
  const job = without(withoutDefaults(spec, jobDefaults), ['selector']);
  return withField(ofTemplate(job), 'template', (template) => {
    const stripped = withField(template, 'metadata', (metadata) => {
      if (!isObject(metadata['labels'])) return metadata;
      const labels = without(metadata['labels'], jobLabels);
      return Object.keys(labels).length === 0 ? without(metadata, ['labels']) : { ...metadata, labels };
    });
    const isBare = isDeepStrictEqual(stripped['metadata'], {});
    return isBare ? without(stripped, ['metadata']) : stripped;
  });
}

function stripService(spec: JsonObject): JsonObject {
  const isHeadless = spec['clusterIP'] === 'None';
  const service = withoutDefaults(
    without(spec, isHeadless ? ownOfService : [...ownOfService, 'clusterIP']),
    serviceDefaults,
  );
  return withItems(service, 'ports', (port) =>
    withoutDefaults(without(port, ['nodePort']), { protocol: 'TCP', targetPort: port['port'] }),
  );
}
