import type { KubeObject, ResourceRef } from '@selvedge/api';

const resource = (group: string, plural: string, kind: string): ResourceRef => ({
  group,
  version: 'v1',
  plural,
  kind,
  namespaced: true,
});

export const deployments = resource('apps', 'deployments', 'Deployment');
export const statefulSets = resource('apps', 'statefulsets', 'StatefulSet');
export const daemonSets = resource('apps', 'daemonsets', 'DaemonSet');
export const jobs = resource('batch', 'jobs', 'Job');
export const services = resource('', 'services', 'Service');
export const pods = resource('', 'pods', 'Pod');
export const claims = resource('', 'persistentvolumeclaims', 'PersistentVolumeClaim');
export const autoscalers: ResourceRef = {
  ...resource('autoscaling', 'horizontalpodautoscalers', 'HorizontalPodAutoscaler'),
  version: 'v2',
};

export function configMap(name: string, data: Record<string, string>): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data } as KubeObject;
}

export interface WorkloadOptions {
  readonly kind?: 'Deployment' | 'StatefulSet' | 'DaemonSet' | 'Job';
  readonly name?: string;
  readonly image?: string;
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly pod?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export function workload(options: WorkloadOptions = {}): KubeObject {
  const {
    kind = 'Deployment',
    name = 'web',
    image = 'example/web:1',
    spec = {},
    pod = {},
    annotations,
  } = options;
  const labels = { app: name };
  const isJob = kind === 'Job';
  return {
    apiVersion: isJob ? 'batch/v1' : 'apps/v1',
    kind,
    metadata: { name },
    spec: {
      ...(isJob ? {} : { selector: { matchLabels: labels } }),
      ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
      template: {
        metadata: { labels, ...(annotations ? { annotations } : {}) },
        spec: { ...(isJob ? { restartPolicy: 'Never' } : {}), containers: [{ name: 'main', image }], ...pod },
      },
      ...spec,
    },
  } as KubeObject;
}

export function service(name = 'web'): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }] },
  } as KubeObject;
}

export function claim(name: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  } as KubeObject;
}
