import type { KubeObject } from '@selvedge/api';
import { textAt } from '../health/read-fields.ts';

/** Versions name some distributions: `v1.33.2+k3s1`, `v1.33.1-eks-1d6f6a9`. */
const byVersion: readonly (readonly [RegExp, string])[] = [
  [/\+k3s/, 'k3s'],
  [/\+rke2/, 'rke2'],
  [/\+k0s/, 'k0s'],
  [/-eks-/, 'eks'],
  [/-gke\./, 'gke'],
  [/\+vmware|\+tkg/, 'tanzu'],
  [/-aliyun/, 'ack'],
  [/-tke/, 'tke'],
];

/** Others are known by labels that their nodes have; `label=value` or a label. */
const byLabel: readonly (readonly [string, string])[] = [
  ['microk8s.io/cluster', 'microk8s'],
  ['juju-application', 'charmed-kubernetes'],
  ['k8sd.io/role', 'canonical-kubernetes'],
  ['kubernetes.azure.com/cluster', 'aks'],
  ['node.openshift.io/os_id', 'openshift'],
  ['eks.amazonaws.com/nodegroup', 'eks'],
  ['eks.amazonaws.com/compute-type', 'eks'],
  ['cloud.google.com/gke-nodepool', 'gke'],
  ['doks.digitalocean.com/node-pool', 'doks'],
  ['minikube.k8s.io/name', 'minikube'],
];

/** What can be told of who made the cluster. Undefined: nothing, as of one made with kubeadm. */
export function guessDistribution(version: string, nodes: readonly KubeObject[]): string | undefined {
  const named = byVersion.find(([pattern]) => pattern.test(version))?.[1];
  if (named !== undefined) return named;
  for (const { metadata, spec, status } of nodes as (KubeObject & { spec?: unknown; status?: unknown })[]) {
    const labelled = byLabel.find(([label]) => metadata.labels?.[label] !== undefined)?.[1];
    if (labelled !== undefined) return labelled;
    if (textAt(spec, 'providerID')?.startsWith('kind://') === true) return 'kind';
    if (textAt(status, 'nodeInfo.osImage')?.startsWith('Talos') === true) return 'talos';
  }
  return undefined;
}
