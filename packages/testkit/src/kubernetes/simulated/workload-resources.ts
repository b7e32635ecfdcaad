import type { ResourceRef } from '@selvedge/api';

const resource = (group: string, plural: string, kind: string): ResourceRef => ({
  group,
  version: 'v1',
  plural,
  kind,
  namespaced: true,
});

export const pods = resource('', 'pods', 'Pod');
export const nodes: ResourceRef = { ...resource('', 'nodes', 'Node'), namespaced: false };
export const persistentVolumeClaims = resource('', 'persistentvolumeclaims', 'PersistentVolumeClaim');
export const deployments = resource('apps', 'deployments', 'Deployment');
export const replicaSets = resource('apps', 'replicasets', 'ReplicaSet');
export const statefulSets = resource('apps', 'statefulsets', 'StatefulSet');
export const daemonSets = resource('apps', 'daemonsets', 'DaemonSet');
export const jobs = resource('batch', 'jobs', 'Job');
export const podDisruptionBudgets = resource('policy', 'poddisruptionbudgets', 'PodDisruptionBudget');
