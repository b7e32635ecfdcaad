import { quantityToNumber } from '@selvedge/api';
import type {
  Node,
  NodeRequirement,
  NodeSelectorTerm,
  Pod,
  PodSpec,
  Toleration,
} from './workload-objects.ts';

/** Why a pod cannot run on a node; undefined: it can. */
export type NodeRefusal = string;

/**
 * What the filters of kube-scheduler say (pkg/scheduler/framework/plugins: nodeunschedulable, nodeaffinity, tainttoleration, noderesources),
 * in their words.
 */
export function refusalOf(
  pod: Pick<Pod, 'spec'>,
  node: Node,
  podsOnNode: readonly Pod[],
): NodeRefusal | undefined {
  if (node.spec?.unschedulable === true) return 'node(s) were unschedulable';
  if (!matchesAffinity(pod.spec, node)) return "node(s) didn't match Pod's node affinity/selector";
  const taint = (node.spec?.taints ?? []).find(
    ({ key, value, effect }) =>
      effect !== 'PreferNoSchedule' &&
      !(pod.spec.tolerations ?? []).some((t) => tolerates(t, { key, effect, value: value ?? '' })),
  );
  if (taint) return `node(s) had untolerated taint(s)`;
  return shortOf(pod.spec, node, podsOnNode);
}

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) …`: FitError.Error of pkg/scheduler/framework/types.go. */
export function unschedulableMessage(refusals: readonly NodeRefusal[]): string {
  const counts = new Map<string, number>();
  for (const refusal of refusals) counts.set(refusal, (counts.get(refusal) ?? 0) + 1);
  const parts = [...counts].map(([refusal, count]) => `${count} ${refusal}`).sort();
  const total = refusals.length;
  if (total === 0) return 'no nodes available to schedule pods';
  return `0/${total} nodes are available: ${parts.join(', ')}. preemption: 0/${total} nodes are available: ${total} Preemption is not helpful for scheduling.`;
}

export function matchesAffinity(spec: PodSpec, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  const isSelected = Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return isSelected && (terms === undefined || terms.some((term) => matchesTerm(term, node)));
}

/** A term without anything in it matches no node. */
function matchesTerm({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  return (
    matchExpressions.every((requirement) => matches(requirement, labels[requirement.key])) &&
    matchFields.every((requirement) => matches(requirement, node.metadata.name))
  );
}

function matches({ operator, values = [] }: NodeRequirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return value !== undefined && Number(value) > Number(values[0]);
    case 'Lt':
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

/** `ToleratesTaint` of k8s.io/component-helpers. */
export function tolerates(
  { key = '', operator = 'Equal', value = '', effect = '' }: Toleration,
  taint: { readonly key: string; readonly value: string; readonly effect: string },
): boolean {
  if (effect !== '' && effect !== taint.effect) return false;
  if (key !== '' && key !== taint.key) return false;
  return operator === 'Exists' || (key !== '' && operator === 'Equal' && value === taint.value);
}

function shortOf(spec: PodSpec, node: Node, podsOnNode: readonly Pod[]): string | undefined {
  const allocatable = node.status?.allocatable ?? {};
  const maxPods = allocatable['pods'];
  if (maxPods !== undefined && podsOnNode.length + 1 > amount(maxPods)) return 'Too many pods';
  const wanted = requestsOf(spec);
  for (const [name, quantity] of wanted) {
    const used = podsOnNode.reduce((sum, pod) => sum + (requestsOf(pod.spec).get(name) ?? 0), 0);
    if (used + quantity > amount(allocatable[name] ?? '0')) return `Insufficient ${name}`;
  }
  return undefined;
}

function requestsOf({ containers }: PodSpec): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { resources } of containers) {
    for (const [name, quantity] of Object.entries(resources?.requests ?? {})) {
      sums.set(name, (sums.get(name) ?? 0) + amount(quantity));
    }
  }
  return sums;
}

function amount(quantity: string): number {
  return quantityToNumber(quantity) ?? 0;
}
