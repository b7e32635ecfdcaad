import type { KubeObject } from '@selvedge/api';
import { resourcePath } from '@selvedge/kube';
import type { ReconcileResult } from '@selvedge/kube';
import { scriptedStatus, toTime, transitionOf } from './pod-script.ts';
import { type NodeRefusal, refusalOf, unschedulableMessage } from './scheduling.ts';
import { deleteObject, nameOf, patchStatus, type Simulation } from './simulation.ts';
import type { Condition, Node, Pod } from './workload-objects.ts';
import { pods } from './workload-resources.ts';

/** Scheduler and kubelet in one: gives the pod a node, says there what its containers do, and takes it away when it is deleted. */
export async function reconcilePod(simulation: Simulation, pod: Pod): Promise<ReconcileResult> {
  if (pod.metadata.deletionTimestamp !== undefined) {
    await simulation.containers.end(pod);
    // The containers have ended: the kubelet confirms it (pkg/kubelet/status `canBeDeleted`).
    await deleteObject(simulation, [pods, pod], { gracePeriodSeconds: 0 });
    return 'done';
  }
  const isOver = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
  if (isOver) return 'done';
  if (pod.spec.nodeName === undefined) return schedule(simulation, pod);
  await simulation.containers.start(pod);
  const { status, changesIn } = scriptedStatus(pod, simulation.clock.now());
  await patchStatus(simulation, [pods, pod], status);
  return changesIn === undefined ? 'done' : { requeueAfterSeconds: Math.max(changesIn, 0.05) };
}

async function schedule(simulation: Simulation, pod: Pod): Promise<ReconcileResult> {
  const refusals: NodeRefusal[] = [];
  let chosen: Node | undefined;
  for (const node of simulation.nodes.list()) {
    const onNode = simulation.pods.list().filter(({ spec }) => spec.nodeName === node.metadata.name);
    const refusal = refusalOf(pod, node, onNode);
    if (refusal === undefined) chosen ??= node;
    else refusals.push(refusal);
  }
  if (chosen) {
    await bind(simulation, pod, chosen.metadata.name);
    return 'done';
  }
  const now = simulation.clock.now();
  const condition: Condition = {
    type: 'PodScheduled',
    status: 'False',
    reason: 'Unschedulable',
    message: unschedulableMessage(refusals),
    lastTransitionTime: transitionOf(pod, { type: 'PodScheduled', status: 'False' }, now),
  };
  await patchStatus(simulation, [pods, pod], { phase: 'Pending', conditions: [condition] });
  // Nodes change, and pods that are in the way go.
  return { requeueAfterSeconds: 0.5 };
}

async function bind({ client, isReal, clock }: Simulation, pod: Pod, nodeName: string): Promise<void> {
  if (!isReal) {
    await client.mergePatch<KubeObject>(pods, nameOf(pod), {
      metadata: { uid: pod.metadata.uid },
      spec: { nodeName },
    });
    return;
  }
  await client.request({
    method: 'POST',
    path: resourcePath(pods, { ...nameOf(pod), subresource: 'binding' }),
    body: {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: pod.metadata.name, uid: pod.metadata.uid, creationTimestamp: toTime(clock.now()) },
      target: { apiVersion: 'v1', kind: 'Node', name: nodeName },
    },
  });
}
