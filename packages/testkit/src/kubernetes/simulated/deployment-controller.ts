import { isAlreadyExists } from '@selvedge/api';
import type { ReconcileResult } from '@selvedge/kube';
import { toTime } from './pod-script.ts';
import {
  counts,
  listOwned,
  nameOf,
  patchStatus,
  scaled,
  type Simulation,
  templateHash,
} from './simulation.ts';
import { type Condition, ownerReference, type Pod, type Workload } from './workload-objects.ts';
import { deployments, pods, replicaSets } from './workload-resources.ts';

const hashLabel = 'pod-template-hash';
const revisionAnnotation = 'deployment.kubernetes.io/revision';

interface Rollout {
  readonly deployment: Workload;
  readonly wanted: number;
  readonly current: Workload;
  readonly old: readonly Workload[];
}

/** pkg/controller/deployment: a ReplicaSet for each template, scaled against each other as the strategy allows. */
export async function reconcileDeployment(
  simulation: Simulation,
  deployment: Workload,
): Promise<ReconcileResult> {
  if (deployment.metadata.deletionTimestamp !== undefined) return 'done';
  const wanted = deployment.spec.replicas ?? 1;
  const sets = await listOwned<Workload>(simulation, replicaSets, deployment);
  const hash = templateHash(deployment.spec.template);
  const name = `${deployment.metadata.name}-${hash}`;
  let current = sets.find((set) => set.metadata.name === name);
  const old = sets.filter((set) => set !== current && set.metadata.deletionTimestamp === undefined);
  if (!current) {
    if (deployment.spec.paused === true)
      return writeStatus(simulation, { deployment, wanted, old }, undefined);
    current = await makeReplicaSet(simulation, deployment, { hash, name, revision: sets.length + 1 });
    if (!current) return { requeueAfterSeconds: 0.1 };
  }
  const rollout: Rollout = { deployment, wanted, current, old };
  if (deployment.spec.paused !== true) {
    if (deployment.spec.strategy?.type === 'Recreate') await recreate(simulation, rollout);
    else await roll(simulation, rollout);
  }
  return writeStatus(simulation, rollout, current);
}

async function makeReplicaSet(
  { client }: Simulation,
  deployment: Workload,
  { hash, name, revision }: { hash: string; name: string; revision: number },
): Promise<Workload | undefined> {
  const { template, selector } = deployment.spec;
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  try {
    return await client.create<Workload>(replicaSets, {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: {
        name,
        namespace: deployment.metadata.namespace ?? '',
        labels,
        annotations: { [revisionAnnotation]: String(revision) },
        ownerReferences: [ownerReference(deployment)],
      },
      spec: {
        replicas: 0,
        selector: { ...selector, matchLabels: { ...selector?.matchLabels, [hashLabel]: hash } },
        template: { ...template, metadata: { ...template.metadata, labels } },
      },
    });
  } catch (error) {
    if (isAlreadyExists(error)) return undefined;
    throw error;
  }
}

/** rolling.go: `reconcileNewReplicaSet`, then `reconcileOldReplicaSets`. */
async function roll(simulation: Simulation, { deployment, wanted, current, old }: Rollout): Promise<void> {
  const { maxSurge = '25%', maxUnavailable = '25%' } = deployment.spec.strategy?.rollingUpdate ?? {};
  const surge = scaled(maxSurge, wanted, 'up');
  const spare = scaled(maxUnavailable, wanted, 'down');
  const unavailable = surge === 0 && spare === 0 ? 1 : spare;
  const total = replicasOf(current) + sum(old, replicasOf);
  if (replicasOf(current) > wanted) return scale(simulation, current, wanted);
  if (replicasOf(current) < wanted && total < wanted + surge) {
    const room = Math.min(wanted - replicasOf(current), wanted + surge - total);
    return scale(simulation, current, replicasOf(current) + room);
  }
  const newUnavailable = replicasOf(current) - availableOf(current);
  let excess = total - (wanted - unavailable) - newUnavailable;
  // Those that serve nobody go first: `cleanupUnhealthyReplicas`.
  for (const set of old) {
    const idle = Math.min(excess, replicasOf(set) - availableOf(set));
    if (idle <= 0) continue;
    await scale(simulation, set, replicasOf(set) - idle);
    return;
  }
  excess = Math.min(excess, availableOf(current) + sum(old, availableOf) - (wanted - unavailable));
  for (const set of old) {
    const count = Math.min(excess, replicasOf(set));
    if (count <= 0) continue;
    await scale(simulation, set, replicasOf(set) - count);
    excess -= count;
  }
}

async function recreate(simulation: Simulation, { wanted, current, old }: Rollout): Promise<void> {
  for (const set of old) if (replicasOf(set) > 0) await scale(simulation, set, 0);
  const isOldGone = (await Promise.all(old.map((set) => listOwned<Pod>(simulation, pods, set)))).every(
    (owned) => owned.every((pod) => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed'),
  );
  if (isOldGone && replicasOf(current) !== wanted) await scale(simulation, current, wanted);
}

async function scale({ client }: Simulation, set: Workload, replicas: number): Promise<void> {
  await client.mergePatch(replicaSets, nameOf(set), {
    metadata: { resourceVersion: set.metadata.resourceVersion },
    spec: { replicas },
  });
}

/** sync.go `calculateStatus` and progress.go. */
async function writeStatus(
  simulation: Simulation,
  { deployment, wanted, old }: Pick<Rollout, 'deployment' | 'wanted' | 'old'>,
  current: Workload | undefined,
): Promise<ReconcileResult> {
  const all = current ? [current, ...old] : old;
  const numbers = {
    replicas: sum(all, (set) => statusOf(set, 'replicas')),
    updatedReplicas: current ? statusOf(current, 'replicas') : 0,
    readyReplicas: sum(all, (set) => statusOf(set, 'readyReplicas')),
    availableReplicas: sum(all, availableOf),
  };
  const unavailableReplicas = Math.max(0, sum(all, replicasOf) - numbers.availableReplicas);
  const { maxUnavailable = '25%' } = deployment.spec.strategy?.rollingUpdate ?? {};
  const spare = deployment.spec.strategy?.type === 'Recreate' ? 0 : scaled(maxUnavailable, wanted, 'down');
  const isAvailable = numbers.availableReplicas >= wanted - spare;
  const isComplete =
    numbers.updatedReplicas === wanted && numbers.replicas === wanted && numbers.availableReplicas === wanted;
  const before = deployment.status ?? {};
  const hasProgressed = Object.entries(numbers).some(([name, value]) => (before[name] ?? 0) !== value);
  const now = simulation.clock.now();
  const progressing = progressCondition({ deployment, current, isComplete, hasProgressed, now });
  const available = isAvailable
    ? { status: 'True', reason: 'MinimumReplicasAvailable', message: 'Deployment has minimum availability.' }
    : {
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      };
  await patchStatus(simulation, [deployments, deployment], {
    ...counts({ ...numbers, unavailableReplicas }),
    observedGeneration: deployment.metadata.generation,
    conditions: [condition(deployment, { type: 'Available', ...available }, now), progressing],
  });
  return isComplete ? 'done' : { requeueAfterSeconds: 0.5 };
}

interface Progress {
  readonly deployment: Workload;
  readonly current: Workload | undefined;
  readonly isComplete: boolean;
  readonly hasProgressed: boolean;
  readonly now: Date;
}

function progressCondition({ deployment, current, isComplete, hasProgressed, now }: Progress): Condition {
  const before = deployment.status?.conditions?.find(({ type }) => type === 'Progressing');
  const set = `ReplicaSet "${current?.metadata.name}"`;
  const change = (status: string, reason: string, message: string) =>
    condition(deployment, { type: 'Progressing', status, reason, message }, now);
  if (isComplete) {
    return change('True', 'NewReplicaSetAvailable', `${set} has successfully progressed.`);
  }
  const isNew = deployment.status?.['observedGeneration'] !== deployment.metadata.generation;
  if (before === undefined || hasProgressed || isNew) {
    return {
      ...change('True', 'ReplicaSetUpdated', `${set} is progressing.`),
      lastUpdateTime: toTime(now),
    };
  }
  const seconds = (now.getTime() - Date.parse(before.lastUpdateTime ?? '')) / 1000;
  if (
    before.reason !== 'NewReplicaSetAvailable' &&
    seconds > (deployment.spec.progressDeadlineSeconds ?? 600)
  ) {
    return change('False', 'ProgressDeadlineExceeded', `${set} has timed out progressing.`);
  }
  return before;
}

type NewCondition = Omit<Condition, 'lastTransitionTime' | 'lastUpdateTime'>;

function condition(deployment: Workload, wanted: NewCondition, now: Date): Condition {
  const before = deployment.status?.conditions?.find(({ type }) => type === wanted.type);
  if (
    before?.status === wanted.status &&
    before.reason === wanted.reason &&
    before.message === wanted.message
  ) {
    return before;
  }
  const lastTransitionTime = before?.status === wanted.status ? before.lastTransitionTime : toTime(now);
  return { ...wanted, lastTransitionTime: lastTransitionTime ?? toTime(now), lastUpdateTime: toTime(now) };
}

const replicasOf = (set: Workload): number => set.spec.replicas ?? 1;
const statusOf = (set: Workload, name: string): number => Number(set.status?.[name] ?? 0);
const availableOf = (set: Workload): number => statusOf(set, 'availableReplicas');
const sum = (sets: readonly Workload[], of: (set: Workload) => number): number =>
  sets.reduce((total, set) => total + of(set), 0);
