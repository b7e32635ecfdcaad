import type { KubeObject, NodeGroup } from '@selvedge/api';
import { matchesLabelSelector } from '@selvedge/api';
import type { Refusal } from '../../item-state.ts';
import { groupOf } from './apply-phase.ts';

/** On workloads that stand for one of several node groups, their selectors and their pods. */
export const nodeGroupLabel = 'selvedge.dev/node-group';

type Fields = Record<string, unknown>;

export type Placed =
  | { readonly manifests: readonly KubeObject[]; readonly refusal?: undefined }
  | { readonly manifests?: undefined; readonly refusal: Refusal };

/**
 * The manifests with their pods pinned to those of the named groups that the site has. One group: workloads keep their names. Several: each
 * workload becomes one per group, `<name>-<group>`, and so do the autoscalers and disruption budgets that speak of it; all else is
 * shared. Pure.
 */
export function placeOnNodeGroups(
  manifests: readonly KubeObject[],
  wanted: readonly string[] | undefined,
  site: { readonly name: string; readonly nodeGroups: readonly NodeGroup[] },
): Placed {
  if (wanted === undefined || wanted.length === 0) return { manifests };
  const groups = site.nodeGroups.filter(({ name }) => wanted.includes(name));
  const [first] = groups;
  if (first === undefined) {
    const has = site.nodeGroups.map(({ name }) => name).join(', ');
    return {
      refusal: {
        reason: 'NoNodeGroup',
        message: `site ${site.name} has none of the node groups ${wanted.join(', ')}; it has ${has === '' ? 'none' : has}`,
      },
    };
  }
  if (groups.length === 1) return { manifests: manifests.map((object) => pinned(object, first)) };
  return split(manifests, groups);
}

function split(manifests: readonly KubeObject[], groups: readonly NodeGroup[]): Placed {
  const workloads = manifests.filter((object) => podOwnerOf(object) !== undefined);
  const placed: KubeObject[] = [];
  for (const object of manifests) {
    const isSplit = workloads.includes(object) || speaksOf(object, workloads);
    placed.push(...(isSplit ? groups.map((group) => copyFor(object, group)) : [object]));
  }
  const tooLong = placed.find((object) => object.metadata.name.length > longestName(object));
  if (tooLong !== undefined) {
    return refused(
      `${tooLong.kind}/${tooLong.metadata.name} is longer than ${longestName(tooLong)} characters; give the workload or the node group a shorter name`,
    );
  }
  const taken = firstDouble(placed);
  if (taken !== undefined) {
    return refused(
      `${taken} stands twice in the release once its workloads are named after node groups; rename one of them`,
    );
  }
  return { manifests: placed };
}

const refused = (message: string): Placed => ({ refusal: { reason: 'NodeGroupName', message } });

function firstDouble(objects: readonly KubeObject[]): string | undefined {
  const seen = new Set<string>();
  for (const { apiVersion, kind, metadata } of objects) {
    const key = `${groupOf(apiVersion)} ${kind} ${metadata.namespace ?? ''} ${metadata.name}`;
    if (seen.has(key)) return `${kind}/${metadata.name}`;
    seen.add(key);
  }
  return undefined;
}

/** What the names of pods and of labels made from a workload's name leave for it. */
function longestName({ kind }: KubeObject): number {
  return kind === 'CronJob' || kind === 'StatefulSet' ? 52 : 63;
}

function copyFor(object: KubeObject, group: NodeGroup): KubeObject {
  const copy = structuredClone(pinned(object, group));
  copy.metadata.name = `${object.metadata.name}-${group.name}`;
  addLabel(copy as unknown as Fields, group.name);
  const spec = copy['spec'] as Fields | undefined;
  if (object.kind === 'HorizontalPodAutoscaler') {
    const target = spec?.['scaleTargetRef'] as Fields;
    target['name'] = `${String(target['name'])}-${group.name}`;
    return copy;
  }
  const selector = spec?.['selector'] as Fields | undefined;
  if (selector !== undefined) {
    const isPlain = object.kind === 'ReplicationController';
    const labels = isPlain ? selector : ((selector['matchLabels'] ??= {}) as Fields);
    labels[nodeGroupLabel] = group.name;
  }
  if (object.kind === 'CronJob') addLabel(spec?.['jobTemplate'] as Fields, group.name);
  const owner = podOwnerOf(copy);
  if (owner !== undefined && owner !== (copy as unknown as Fields)) addLabel(owner, group.name);
  return copy;
}

function addLabel(owner: Fields | undefined, group: string): void {
  if (owner === undefined) return;
  const metadata = (owner['metadata'] ??= {}) as Fields;
  const labels = (metadata['labels'] ??= {}) as Fields;
  labels[nodeGroupLabel] = group;
}

/** An autoscaler or a disruption budget of one of the workloads. */
function speaksOf(object: KubeObject, workloads: readonly KubeObject[]): boolean {
  const spec = object['spec'] as Fields | undefined;
  const isNear = (workload: KubeObject) => workload.metadata.namespace === object.metadata.namespace;
  if (object.kind === 'HorizontalPodAutoscaler' && groupOf(object.apiVersion) === 'autoscaling') {
    const target = spec?.['scaleTargetRef'] as Fields | undefined;
    return workloads.some(
      (workload) =>
        isNear(workload) && workload.kind === target?.['kind'] && workload.metadata.name === target['name'],
    );
  }
  if (object.kind !== 'PodDisruptionBudget' || groupOf(object.apiVersion) !== 'policy') return false;
  const selector = spec?.['selector'] as Parameters<typeof matchesLabelSelector>[1] | undefined;
  if (selector === undefined) return false;
  return workloads.some((workload) => {
    const metadata = podOwnerOf(workload)?.['metadata'] as { labels?: Record<string, string> } | undefined;
    return isNear(workload) && matchesLabelSelector(metadata?.labels, selector);
  });
}

function pinned(object: KubeObject, group: NodeGroup): KubeObject {
  if (podSpecOf(object) === undefined) return object;
  const copy = structuredClone(object);
  const spec = podSpecOf(copy) as Fields;
  const tolerations = group.tolerations ?? [];
  if (tolerations.length > 0) {
    const before = (spec['tolerations'] as unknown[] | undefined) ?? [];
    const added = tolerations.filter((one) => !before.some((other) => isSame(one, other)));
    spec['tolerations'] = [...before, ...structuredClone(added)];
  }
  const selector = Object.entries(group.nodeSelector ?? {});
  if (selector.length > 0) {
    const expressions = selector.map(([key, value]) => ({ key, operator: 'In', values: [value] }));
    requireNodes(spec, expressions);
  }
  return copy;
}

/** ANDs the expressions into every term: terms are ORed. A term without any expression matches no node, and goes on doing so. */
function requireNodes(spec: Fields, expressions: readonly unknown[]): void {
  const affinity = (spec['affinity'] ??= {}) as Fields;
  const nodeAffinity = (affinity['nodeAffinity'] ??= {}) as Fields;
  const key = 'requiredDuringSchedulingIgnoredDuringExecution';
  const required = nodeAffinity[key] as { nodeSelectorTerms?: Fields[] } | undefined;
  if (required === undefined) {
    nodeAffinity[key] = { nodeSelectorTerms: [{ matchExpressions: [...expressions] }] };
    return;
  }
  required.nodeSelectorTerms = (required.nodeSelectorTerms ?? []).map((term) => {
    const before = (term['matchExpressions'] as unknown[] | undefined) ?? [];
    const fields = (term['matchFields'] as unknown[] | undefined) ?? [];
    if (before.length === 0 && fields.length === 0) return term;
    return { ...term, matchExpressions: [...before, ...structuredClone(expressions)] };
  });
}

const isSame = (one: unknown, other: unknown): boolean => {
  const text = (value: unknown) =>
    JSON.stringify(Object.entries(value as object).sort(([a], [b]) => (a < b ? -1 : 1)));
  return text(one) === text(other);
};

/** The part that has metadata and spec of the pods: a pod template, or a Pod itself. */
export function podOwnerOf(object: KubeObject): Fields | undefined {
  const group = groupOf(object.apiVersion);
  const spec = object['spec'] as Fields | undefined;
  if (group === '' && object.kind === 'Pod') return object as unknown as Fields;
  const isOwner =
    (group === 'apps' && ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'].includes(object.kind)) ||
    (group === 'batch' && object.kind === 'Job') ||
    (group === '' && object.kind === 'ReplicationController');
  if (isOwner) return spec?.['template'] as Fields | undefined;
  if (group !== 'batch' || object.kind !== 'CronJob') return undefined;
  const job = (spec?.['jobTemplate'] as Fields | undefined)?.['spec'] as Fields | undefined;
  return job?.['template'] as Fields | undefined;
}

function podSpecOf(object: KubeObject): Fields | undefined {
  return podOwnerOf(object)?.['spec'] as Fields | undefined;
}
