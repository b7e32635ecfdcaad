import type { ReconcileResult } from '@selvedge/kube';
import { makePod } from './pod-making.ts';
import { counts, deleteObject, listOwned, patchStatus, randomSuffix, type Simulation } from './simulation.ts';
import { isActive, isReady, type Pod, type Workload } from './workload-objects.ts';
import { pods, replicaSets } from './workload-resources.ts';

/** pkg/controller/replicaset: as many active pods as wanted; of those too many, the ones that are not ready go first. */
export async function reconcileReplicaSet(simulation: Simulation, set: Workload): Promise<ReconcileResult> {
  const active = (await listOwned<Pod>(simulation, pods, set)).filter(isActive);
  const wanted = set.spec.replicas ?? 1;
  if (set.metadata.deletionTimestamp === undefined) {
    for (let i = active.length; i < wanted; i += 1) {
      await makePod(simulation, {
        owner: set,
        name: `${set.metadata.name}-${randomSuffix()}`,
        template: set.spec.template,
      });
    }
    const spare = active.toSorted((a, b) => Number(isReady(a)) - Number(isReady(b)));
    for (const pod of spare.slice(0, Math.max(0, active.length - wanted))) {
      await deleteObject(simulation, [pods, pod]);
    }
  }
  const ready = active.filter(isReady).length;
  const status = counts({
    readyReplicas: ready,
    availableReplicas: ready,
    fullyLabeledReplicas: active.length,
  });
  await patchStatus(simulation, [replicaSets, set], {
    replicas: active.length,
    ...status,
    observedGeneration: set.metadata.generation,
  });
  return 'done';
}
