import type { ReconcileResult } from '@selvedge/kube';
import { makePod } from './pod-making.ts';
import { refusalOf } from './scheduling.ts';
import {
  counts,
  deleteObject,
  listOwned,
  patchStatus,
  randomSuffix,
  scaled,
  type Simulation,
  templateHash,
} from './simulation.ts';
import { isReady, type Node, type Pod, type PodSpec, type Workload } from './workload-objects.ts';
import { daemonSets, pods } from './workload-resources.ts';

const revisionLabel = 'controller-revision-hash';
/** `AddOrUpdateDaemonPodTolerations` of pkg/controller/daemon/util, those that matter here. */
const daemonTolerations = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];

/** pkg/controller/daemon: a pod on every node that fits, updated `maxUnavailable` at a time. */
export async function reconcileDaemonSet(simulation: Simulation, set: Workload): Promise<ReconcileResult> {
  if (set.metadata.deletionTimestamp !== undefined) return 'done';
  const revision = templateHash(set.spec.template);
  const spec: PodSpec = {
    ...set.spec.template.spec,
    tolerations: [...(set.spec.template.spec.tolerations ?? []), ...daemonTolerations],
  };
  // Whether there is space is the scheduler's question.
  const fits = (node: Node) => {
    const refusal = refusalOf(
      { spec: { ...spec, containers: [] } },
      { ...node, spec: { ...node.spec, unschedulable: false } },
      [],
    );
    return refusal === undefined;
  };
  const wanted = simulation.nodes.list().filter(fits);
  const owned = await listOwned<Pod>(simulation, pods, set);
  const names = new Set(wanted.map(({ metadata }) => metadata.name));
  for (const pod of owned.filter((candidate) => !names.has(nodeOf(candidate)))) {
    await deleteObject(simulation, [pods, pod]);
  }
  const placed = owned.filter((pod) => names.has(nodeOf(pod)));
  const living = placed.filter((pod) => pod.metadata.deletionTimestamp === undefined);
  for (const { metadata } of wanted.filter(
    (node) => !placed.some((pod) => nodeOf(pod) === node.metadata.name),
  )) {
    await makePod(simulation, {
      owner: set,
      name: `${set.metadata.name}-${randomSuffix()}`,
      template: set.spec.template,
      labels: { [revisionLabel]: revision },
      spec: { tolerations: spec.tolerations, affinity: pinnedTo(metadata.name) },
    });
  }
  const isOld = (pod: Pod) => pod.metadata.labels?.[revisionLabel] !== revision;
  if (set.spec.updateStrategy?.type !== 'OnDelete') {
    const { maxUnavailable = 1 } = set.spec.updateStrategy?.rollingUpdate ?? {};
    const allowed = Math.max(1, scaled(maxUnavailable, wanted.length, 'up'));
    const unavailable = wanted.length - living.filter(isReady).length;
    const old = living.filter(isOld).toSorted((a, b) => Number(isReady(a)) - Number(isReady(b)));
    const broken = old.filter((pod) => !isReady(pod));
    const serving = old.filter(isReady).slice(0, Math.max(0, allowed - unavailable));
    for (const pod of [...broken, ...serving]) await deleteObject(simulation, [pods, pod]);
  }
  const ready = living.filter(isReady).length;
  const updated = living.filter((pod) => !isOld(pod)).length;
  await patchStatus(simulation, [daemonSets, set], {
    observedGeneration: set.metadata.generation,
    desiredNumberScheduled: wanted.length,
    currentNumberScheduled: living.length,
    numberMisscheduled: owned.length - placed.length,
    numberReady: ready,
    ...counts({
      numberAvailable: ready,
      numberUnavailable: Math.max(0, wanted.length - ready),
      updatedNumberScheduled: updated,
    }),
  });
  return ready === wanted.length && updated === wanted.length ? 'done' : { requeueAfterSeconds: 0.5 };
}

function pinnedTo(nodeName: string): object {
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [nodeName] }];
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields }] },
    },
  };
}

/** Where it runs, or is to run. */
function nodeOf({ spec }: Pod): string {
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return spec.nodeName ?? terms?.[0]?.matchFields?.[0]?.values?.[0] ?? '';
}
