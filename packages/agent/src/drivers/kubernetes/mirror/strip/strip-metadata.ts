import { isObject, type JsonObject } from '../../drift/json-pointer.ts';
import { applicationLabel, applicationNamespaceLabel, partOfLabel } from '../../release/plan-release.ts';

/** Labels and annotations by which programs know their own objects in that cluster, or write down what they found there. */
const foreignKeys: ReadonlySet<string> = new Set([
  partOfLabel,
  // kubectl
  'kubectl.kubernetes.io/last-applied-configuration',
  'kubectl.kubernetes.io/restartedAt',
  'kubernetes.io/change-cause',
  // Controllers of Kubernetes
  'deprecated.daemonset.template.generation',
  'batch.kubernetes.io/job-tracking',
  'batch.kubernetes.io/cronjob-scheduled-timestamp',
  'cronjob.kubernetes.io/instantiate',
  'control-plane.alpha.kubernetes.io/leader',
  'volume.kubernetes.io/selected-node',
  'volume.kubernetes.io/storage-provisioner',
  'volume.kubernetes.io/storage-resizer',
  'volume.beta.kubernetes.io/storage-provisioner',
  // Argo CD
  'argocd.argoproj.io/instance',
  'argocd.argoproj.io/tracking-id',
  // Addons
  'addonmanager.kubernetes.io/mode',
  // Clouds
  'cloud.google.com/neg-status',
  'kubernetes.digitalocean.com/load-balancer-id',
  'loadbalancer.openstack.org/load-balancer-id',
]);
const foreignPrefixes = [
  'deployment.kubernetes.io/',
  'autoscaling.alpha.kubernetes.io/',
  'pv.kubernetes.io/',
  'endpoints.kubernetes.io/',
  'applyset.kubernetes.io/',
  'meta.helm.sh/',
  'kustomize.toolkit.fluxcd.io/',
  'helm.toolkit.fluxcd.io/',
  'kapp.k14s.io/',
  'objectset.rio.cattle.io/',
  'field.cattle.io/',
  'ingress.kubernetes.io/',
  'selvedge.dev/',
];

/** What our agent puts on objects; other labels under selvedge.dev/ are a person's, to choose objects by. */
const ownLabels: ReadonlySet<string> = new Set([applicationLabel, applicationNamespaceLabel]);

function isForeignLabel(key: string): boolean {
  return key.startsWith('selvedge.dev/') ? ownLabels.has(key) : isForeign(key);
}

function isForeign(key: string): boolean {
  return foreignKeys.has(key) || foreignPrefixes.some((prefix) => key.startsWith(prefix));
}

/** Name, labels and annotations, without those of the cluster; all else the next cluster makes anew. */
export function stripMetadata({ name, labels, annotations }: JsonObject): JsonObject {
  const keptLabels = keep(labels, (key) => !isForeignLabel(key));
  const keptAnnotations = keep(annotations, (key) => !isForeign(key));
  return {
    ...(name === undefined ? {} : { name }),
    ...(keptLabels === undefined ? {} : { labels: keptLabels }),
    ...(keptAnnotations === undefined ? {} : { annotations: keptAnnotations }),
  };
}

/** Of pods and claims that an object makes. Its selector goes by their labels, so all of those stay. */
export function stripTemplateMetadata(metadata: JsonObject): JsonObject {
  const { labels: _labels, ...stripped } = stripMetadata(metadata);
  const { labels } = metadata;
  return isObject(labels) && Object.keys(labels).length > 0 ? { ...stripped, labels } : stripped;
}

function keep(values: unknown, isKept: (key: string) => boolean): JsonObject | undefined {
  if (!isObject(values)) return undefined;
  const kept = Object.entries(values).filter(([key]) => isKept(key));
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}
