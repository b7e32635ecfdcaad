import type { DesiredItem } from '@selvedge/api';
import type { DesiredApp, Workload } from './desired-app.ts';
import type { PodSpec } from './manifest-model.ts';
import { itemLabels, labelNames, type PodmanNames, shortHash, type SiteIdentity } from './ownership.ts';

/** One pod as it is to be made: the workload's template with a name of its own. */
export interface PodPlan {
  /** Podman's name. */
  readonly name: string;
  /** What the pod calls itself: `metadata.name`. */
  readonly kubernetesName: string;
  readonly uid: string;
  readonly hostname: string;
  readonly index: number;
  readonly workload: Workload;
  readonly app: DesiredApp;
  readonly labels: Readonly<Record<string, string>>;
}

export interface PodPlanContext {
  readonly names: PodmanNames;
  readonly site: SiteIdentity;
  readonly item: DesiredItem;
  readonly app: DesiredApp;
}

export function planPod(workload: Workload, index: number, context: PodPlanContext): PodPlan {
  const { names, site, item, app } = context;
  const name = names.pod(workload, index);
  const kubernetesName = podKubernetesName({ workload: workload.key, hash: workload.hash, index });
  const { spec, metadata } = workload.template;
  return {
    name,
    kubernetesName,
    uid: podUid(site, name),
    hostname: (spec.hostname ?? kubernetesName).slice(0, 63),
    index,
    workload,
    app,
    labels: {
      ...itemLabels(site, item),
      [labelNames.role]: 'pod',
      [labelNames.namespace]: workload.namespace,
      [labelNames.workload]: workload.key,
      [labelNames.templateHash]: workload.hash,
      [labelNames.index]: String(index),
      [labelNames.podLabels]: JSON.stringify(metadata?.labels ?? {}),
      [labelNames.podPorts]: JSON.stringify(namedPorts(spec)),
    },
  };
}

/** `metadata.name`, of a pod's labels alone: `workload` is its key. A bare Pod keeps its own. */
export function podKubernetesName(pod: {
  readonly workload: string;
  readonly hash: string;
  readonly index: number;
}): string {
  const [kind, , name = ''] = pod.workload.split('/');
  return kind === 'Pod' ? name : `${name}-${pod.hash}-${pod.index}`;
}

/** `metadata.uid`, made of Podman's name. */
export function podUid(site: SiteIdentity, podmanName: string): string {
  const hash = shortHash(`${site.uid} ${podmanName}`, 32);
  return hash.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-8$3-8$4-$5');
}

function namedPorts(spec: PodSpec): Record<string, number> {
  const ports = spec.containers.flatMap((container) => container.ports ?? []);
  return Object.fromEntries(ports.flatMap((p) => (p.name === undefined ? [] : [[p.name, p.containerPort]])));
}

/** Forms under which a name of a namespace is known to the site's pods. The short one is found by their search domain. */
export function serviceAliases(namespace: string, name: string): string[] {
  const full = `${name}.${namespace}`;
  return [full, `${full}.svc`, `${full}.svc.${clusterDomain}`];
}

export function searchDomain(namespace: string): string {
  return `${namespace}.svc.${clusterDomain}`;
}

const clusterDomain = 'cluster.local';
