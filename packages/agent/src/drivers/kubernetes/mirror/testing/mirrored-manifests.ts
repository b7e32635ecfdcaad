import type { KubeObject } from '@selvedge/api';

/** What a person writes: only what differs from the defaults, as a mirror has to give it back. */
export const edgeLabel = { edge: 'yes' };

const pod = (app: string, more: Record<string, unknown> = {}) => ({
  metadata: { labels: { app } },
  spec: { containers: [{ name: 'main', image: `example/${app}:1` }], ...more },
});

const selector = (app: string) => ({ selector: { matchLabels: { app } } });

/** `of`: apiVersion and kind. */
function manifest(of: string, name: string, fields: Record<string, unknown>): KubeObject {
  const [apiVersion = '', kind = ''] = of.split(' ');
  return { apiVersion, kind, metadata: { name, labels: edgeLabel }, ...fields };
}

const probe = { httpGet: { port: 8080, path: '/ready' }, periodSeconds: 5 };

/** Written with many fields that the API server completes. */
export const webDeployment: KubeObject = manifest('apps/v1 Deployment', 'web', {
  spec: {
    // None: what is written counts here, not that it runs.
    replicas: 0,
    ...selector('web'),
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    template: {
      metadata: { labels: { app: 'web' }, annotations: { 'example.com/team': 'till' } },
      spec: {
        serviceAccountName: 'web',
        initContainers: [{ name: 'init', image: 'example/init@sha256:'.concat('a'.repeat(64)) }],
        containers: [
          {
            name: 'main',
            image: 'example/web:latest',
            ports: [{ name: 'http', containerPort: 8080 }],
            env: [
              { name: 'PLAIN', value: '${NOT_OURS}' },
              { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
              { name: 'KEY', valueFrom: { configMapKeyRef: { name: 'web', key: 'key' } } },
            ],
            readinessProbe: probe,
            livenessProbe: { tcpSocket: { port: 8080 }, initialDelaySeconds: 3 },
            startupProbe: { grpc: { port: 9090 }, failureThreshold: 30 },
            lifecycle: { preStop: { httpGet: { port: 8080, path: '/stop' } } },
            resources: { limits: { memory: '64Mi' }, requests: { cpu: '10m', memory: '64Mi' } },
            securityContext: { runAsNonRoot: true },
            volumeMounts: [
              { name: 'config', mountPath: '/etc/web' },
              { name: 'all', mountPath: '/all' },
              { name: 'scratch', mountPath: '/scratch' },
            ],
          },
          { name: 'side', image: 'example/side:2', imagePullPolicy: 'Always' },
        ],
        volumes: [
          { name: 'config', configMap: { name: 'web' } },
          { name: 'scratch', emptyDir: {} },
          { name: 'secret', secret: { secretName: 'web', defaultMode: 256 } },
          { name: 'host', hostPath: { path: '/run' } },
          {
            name: 'all',
            projected: {
              sources: [
                { configMap: { name: 'web' } },
                { serviceAccountToken: { path: 'token', audience: 'bank' } },
                { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
              ],
            },
          },
          {
            name: 'down',
            downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] },
          },
        ],
        terminationGracePeriodSeconds: 5,
      },
    },
  },
});

/** Of kinds that our own API server under test has too. */
export const commonManifests: readonly KubeObject[] = [
  webDeployment,
  manifest('apps/v1 Deployment', 'plain', {
    spec: { replicas: 1, ...selector('plain'), template: pod('plain') },
  }),
  manifest('apps/v1 StatefulSet', 'db', {
    spec: {
      replicas: 1,
      serviceName: 'db',
      ...selector('db'),
      template: pod('db'),
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
    },
  }),
  manifest('apps/v1 DaemonSet', 'node', { spec: { ...selector('node'), template: pod('node') } }),
  manifest('batch/v1 CronJob', 'nightly', {
    spec: {
      schedule: '0 3 * * *',
      jobTemplate: { spec: { template: { spec: { ...pod('nightly').spec, restartPolicy: 'Never' } } } },
    },
  }),
  manifest('batch/v1 Job', 'once', {
    spec: { backoffLimit: 2, template: { spec: { ...pod('once').spec, restartPolicy: 'OnFailure' } } },
  }),
  manifest('v1 Service', 'web', {
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  }),
  manifest('v1 Service', 'headless', {
    spec: { clusterIP: 'None', selector: { app: 'db' }, ports: [{ port: 5432 }] },
  }),
  manifest('v1 Service', 'outside', {
    spec: {
      type: 'LoadBalancer',
      externalTrafficPolicy: 'Local',
      selector: { app: 'web' },
      ports: [{ port: 80 }],
    },
  }),
  manifest('v1 Service', 'sticky', {
    spec: {
      type: 'NodePort',
      sessionAffinity: 'ClientIP',
      selector: { app: 'web' },
      ports: [{ port: 53, protocol: 'UDP' }],
    },
  }),
  manifest('v1 ConfigMap', 'web', { data: { key: 'value', script: 'echo ${HOME}' } }),
  manifest('v1 ServiceAccount', 'web', { imagePullSecrets: [{ name: 'registry' }] }),
  manifest('v1 PersistentVolumeClaim', 'files', {
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '2Gi' } } },
  }),
];

/** Of kinds that only the real one has. */
export const furtherManifests: readonly KubeObject[] = [
  manifest('networking.k8s.io/v1 Ingress', 'web', {
    spec: {
      rules: [
        {
          host: 'shop.example',
          http: {
            paths: [
              { path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } },
            ],
          },
        },
      ],
    },
  }),
  manifest('networking.k8s.io/v1 NetworkPolicy', 'web', {
    spec: {
      podSelector: { matchLabels: { app: 'web' } },
      policyTypes: ['Ingress'],
      ingress: [{ ports: [{ port: 8080 }] }],
    },
  }),
];
