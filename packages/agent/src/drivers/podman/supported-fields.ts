import { quantityToNumber } from '@selvedge/api';
import {
  absolutePath,
  anything,
  countOrPercent,
  dnsLabel,
  flag,
  integer,
  listOf,
  mapOf,
  nonEmptyText,
  object,
  oneOf,
  portNumber,
  portReference,
  refused,
  relativePath,
  type Shape,
  type ShapeReport,
  text,
} from './field-shape.ts';

/**
 * Every field that this driver takes, per kind. What is not here is refused by name. A field stands here only when it is
 * honoured, when it describes what this driver does anyway, or when one machine honours it by itself (tolerations).
 */

const quantity: Shape = (value, path, report) => {
  if (quantityToNumber(value) === undefined) report(path, "must be a quantity as '250m', '0.5' or '64Mi'");
};
const labels = mapOf(text);

/** Set by API servers; an object that was exported from one carries them. They say nothing about what is wanted. */
const serverFields = {
  uid: anything,
  resourceVersion: anything,
  generation: anything,
  creationTimestamp: anything,
  managedFields: anything,
  selfLink: anything,
};
const metadata = object(
  { name: nonEmptyText, namespace: text, labels, annotations: labels, ...serverFields },
  ['name'],
);

const keyReference = object({ name: nonEmptyText, key: nonEmptyText, optional: flag }, ['name', 'key']);
const sourceReference = object({ name: nonEmptyText, optional: flag }, ['name']);

const environmentName: Shape = (value, path, report) => {
  if (typeof value !== 'string' || !/^[-._a-zA-Z][-._a-zA-Z0-9]*$/.test(value)) {
    report(path, 'must be a name of letters, digits, "_", "-" or "."');
  }
};

const fieldPaths = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.podIP',
  'status.hostIP',
];
const fieldPath: Shape = (value, path, report) => {
  if (fieldPaths.includes(value as string)) return;
  if (/^metadata\.(labels|annotations)\['[^']+'\]$/.test(String(value))) return;
  report(
    path,
    `is not supported on a Podman site; supported: ${fieldPaths.join(', ')}, metadata.labels['KEY']`,
  );
};

const environment = listOf(
  object(
    {
      name: environmentName,
      value: text,
      valueFrom: object({
        configMapKeyRef: keyReference,
        secretKeyRef: keyReference,
        fieldRef: object({ fieldPath, apiVersion: oneOf('v1') }, ['fieldPath']),
      }),
    },
    ['name'],
  ),
);

const probe = object({
  exec: object({ command: listOf(text) }, ['command']),
  httpGet: object(
    {
      path: text,
      port: portReference,
      host: text,
      scheme: oneOf('HTTP', 'HTTPS'),
      httpHeaders: listOf(object({ name: nonEmptyText, value: text }, ['name', 'value'])),
    },
    ['port'],
  ),
  tcpSocket: object({ port: portReference, host: text }, ['port']),
  initialDelaySeconds: integer(0),
  periodSeconds: integer(1),
  timeoutSeconds: integer(1),
  successThreshold: integer(1),
  failureThreshold: integer(1),
  terminationGracePeriodSeconds: refused("the pod's terminationGracePeriodSeconds applies"),
});

const seccompProfile = object({ type: oneOf('RuntimeDefault', 'Unconfined') }, ['type']);

const containerSecurity = object({
  runAsUser: integer(0),
  runAsGroup: integer(0),
  runAsNonRoot: flag,
  readOnlyRootFilesystem: flag,
  allowPrivilegeEscalation: flag,
  privileged: flag,
  capabilities: object({ add: listOf(nonEmptyText), drop: listOf(nonEmptyText) }),
  seccompProfile,
});

const containerFields: Readonly<Record<string, Shape>> = {
  name: dnsLabel,
  image: nonEmptyText,
  command: listOf(text),
  args: listOf(text),
  workingDir: absolutePath,
  env: environment,
  envFrom: listOf(object({ prefix: text, configMapRef: sourceReference, secretRef: sourceReference })),
  ports: listOf(
    object(
      {
        name: nonEmptyText,
        containerPort: portNumber,
        protocol: oneOf('TCP', 'UDP'),
        hostPort: refused('publish the port by a Service of type NodePort or LoadBalancer'),
        hostIP: refused('publish the port by a Service of type NodePort or LoadBalancer'),
      },
      ['containerPort'],
    ),
  ),
  resources: object({
    limits: object({ cpu: quantity, memory: quantity }),
    requests: object({ cpu: quantity, memory: quantity, 'ephemeral-storage': quantity }),
  }),
  volumeMounts: listOf(
    object({ name: nonEmptyText, mountPath: absolutePath, subPath: relativePath, readOnly: flag }, [
      'name',
      'mountPath',
    ]),
  ),
  imagePullPolicy: oneOf('Always', 'IfNotPresent', 'Never'),
  securityContext: containerSecurity,
  terminationMessagePath: oneOf('/dev/termination-log'),
  terminationMessagePolicy: oneOf('File', 'FallbackToLogsOnError'),
  stdin: oneOf(false),
  stdinOnce: oneOf(false),
  tty: oneOf(false),
};
const container = object(
  { ...containerFields, livenessProbe: probe, readinessProbe: probe, startupProbe: probe },
  ['name', 'image'],
);
const initContainer = object(
  { ...containerFields, restartPolicy: refused('sidecar containers; make it an ordinary container') },
  ['name', 'image'],
);

const fileItems = listOf(
  object({ key: nonEmptyText, path: relativePath, mode: integer(0, 0o777) }, ['key', 'path']),
);
const fileVolume = { items: fileItems, defaultMode: integer(0, 0o777), optional: flag };
const volume = object(
  {
    name: dnsLabel,
    emptyDir: object({
      medium: oneOf('', 'Memory'),
      sizeLimit: refused('Podman cannot limit the size of an emptyDir; leave sizeLimit out'),
    }),
    hostPath: object(
      {
        path: absolutePath,
        type: oneOf(
          '',
          'Directory',
          'DirectoryOrCreate',
          'File',
          'FileOrCreate',
          'Socket',
          'CharDevice',
          'BlockDevice',
        ),
      },
      ['path'],
    ),
    configMap: object({ name: nonEmptyText, ...fileVolume }, ['name']),
    secret: object({ secretName: nonEmptyText, ...fileVolume }, ['secretName']),
    persistentVolumeClaim: object({ claimName: nonEmptyText, readOnly: flag }, ['claimName']),
  },
  ['name'],
);

/** Only wishes: a single machine grants what it can, and nothing depends on it. */
const preferences = object({ preferredDuringSchedulingIgnoredDuringExecution: anything });

const podSpec = object(
  {
    containers: listOf(container),
    initContainers: listOf(initContainer),
    volumes: listOf(volume),
    restartPolicy: oneOf('Always', 'OnFailure', 'Never'),
    terminationGracePeriodSeconds: integer(0),
    hostAliases: listOf(object({ ip: nonEmptyText, hostnames: listOf(nonEmptyText) }, ['ip'])),
    hostname: dnsLabel,
    imagePullSecrets: listOf(object({ name: nonEmptyText }, ['name'])),
    securityContext: object({
      runAsUser: integer(0),
      runAsGroup: integer(0),
      runAsNonRoot: flag,
      supplementalGroups: listOf(integer(0)),
      seccompProfile,
      fsGroup: refused('volumes belong to the user that the container runs as'),
    }),
    serviceAccountName: oneOf('default'),
    serviceAccount: oneOf('default'),
    automountServiceAccountToken: oneOf(false),
    enableServiceLinks: oneOf(false),
    dnsPolicy: oneOf('ClusterFirst'),
    schedulerName: oneOf('default-scheduler'),
    nodeSelector: object({ 'kubernetes.io/os': oneOf('linux') }),
    affinity: object({ nodeAffinity: preferences, podAffinity: preferences, podAntiAffinity: preferences }),
    tolerations: anything,
    hostNetwork: oneOf(false),
    hostPID: oneOf(false),
    hostIPC: oneOf(false),
    shareProcessNamespace: oneOf(false),
    os: object({ name: oneOf('linux') }),
  },
  ['containers'],
);

const template = object(
  { metadata: object({ labels, annotations: labels, name: text, ...serverFields }), spec: podSpec },
  ['spec'],
);

const kindFields: Readonly<Record<string, Shape>> = {
  'v1 Namespace': object({ spec: object({ finalizers: anything }) }),
  'v1 ConfigMap': object({ data: mapOf(text), binaryData: mapOf(text), immutable: flag }),
  'v1 Secret': object({ data: mapOf(text), stringData: mapOf(text), type: text, immutable: flag }),
  'v1 Pod': object({ spec: podSpec }, ['spec']),
  'v1 PersistentVolumeClaim': object({
    spec: object({
      accessModes: listOf(oneOf('ReadWriteOnce', 'ReadWriteOncePod', 'ReadWriteMany', 'ReadOnlyMany')),
      resources: object({ requests: object({ storage: quantity }) }),
      storageClassName: refused('the data is kept in a Podman volume; leave storageClassName out'),
      volumeMode: oneOf('Filesystem'),
    }),
  }),
  'v1 Service': object(
    {
      spec: object({
        type: oneOf('ClusterIP', 'NodePort', 'LoadBalancer'),
        selector: labels,
        ports: listOf(
          object(
            {
              name: nonEmptyText,
              port: portNumber,
              targetPort: portReference,
              nodePort: portNumber,
              protocol: oneOf('TCP', 'UDP'),
              appProtocol: text,
            },
            ['port'],
          ),
        ),
        clusterIP: oneOf('None', ''),
        publishNotReadyAddresses: flag,
        sessionAffinity: oneOf('None'),
        externalTrafficPolicy: oneOf('Cluster'),
        internalTrafficPolicy: oneOf('Cluster'),
        ipFamilyPolicy: oneOf('SingleStack'),
        ipFamilies: listOf(oneOf('IPv4')),
        allocateLoadBalancerNodePorts: oneOf(false),
      }),
    },
    ['spec'],
  ),
  'apps/v1 Deployment': object(
    {
      spec: object(
        {
          replicas: integer(0, 250),
          selector: object({ matchLabels: labels }, ['matchLabels']),
          template,
          strategy: object({
            type: oneOf('RollingUpdate', 'Recreate'),
            rollingUpdate: object({ maxSurge: countOrPercent, maxUnavailable: countOrPercent }),
          }),
          minReadySeconds: integer(0),
          progressDeadlineSeconds: integer(1),
          // Releases are what one goes back to here; there are no old ReplicaSets to keep.
          revisionHistoryLimit: integer(0),
          paused: oneOf(false),
        },
        ['selector', 'template'],
      ),
    },
    ['spec'],
  ),
};

/** Kinds that this driver carries out, as `apiVersion kind`. */
export const supportedKinds: readonly string[] = Object.keys(kindFields);

/** Reports every field of one manifest that cannot be honoured. */
export function checkFields(manifest: Readonly<Record<string, unknown>>, report: ShapeReport): void {
  const { apiVersion, kind, metadata: meta, status: _status, ...rest } = manifest;
  const fields = kindFields[`${String(apiVersion)} ${String(kind)}`];
  if (!fields) {
    const known = supportedKinds.map((k) => k.split(' ')[1]).join(', ');
    report('kind', `${String(apiVersion)} ${String(kind)} cannot run on a Podman site; what can: ${known}`);
    return;
  }
  metadata(meta ?? {}, 'metadata', report);
  fields(rest, '', report);
}
