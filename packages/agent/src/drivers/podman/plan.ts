import type { Workload } from './desired-app.ts';

/** What the planner needs to know of a pod that exists. */
export interface PodView {
  readonly name: string;
  readonly hash: string;
  readonly index: number;
  /** Ready, and for as long as the workload's minReadySeconds asks. */
  readonly isAvailable: boolean;
  /** It is being taken down already. */
  readonly isLeaving: boolean;
}

export type WorkloadStep =
  | { readonly type: 'CreatePod'; readonly index: number }
  | { readonly type: 'RemovePod'; readonly name: string };

export type WorkloadGoal = Pick<Workload, 'hash' | 'replicas' | 'strategy'>;

/**
 * Next steps towards `replicas` pods of the wanted hash, as the Deployment controller takes them: never more than replicas +
 * maxSurge pods, and no available pod is taken away when fewer than replicas - maxUnavailable would be left. Pure; no
 * memory, so it goes on after any interruption.
 */
export function planWorkload(goal: WorkloadGoal, pods: readonly PodView[]): WorkloadStep[] {
  const staying = pods.filter((pod) => !pod.isLeaving);
  const wanted = staying.filter((pod) => isWantedPod(goal, pod));
  const superseded = staying.filter((pod) => !isWantedPod(goal, pod));
  const present = new Set(pods.filter((pod) => pod.hash === goal.hash).map((pod) => pod.index));
  const absent = Array.from({ length: goal.replicas }, (_, index) => index).filter(
    (index) => !present.has(index),
  );
  if (goal.strategy.type === 'Recreate') return planRecreate({ pods, goal, superseded, absent });
  const { maxSurge, maxUnavailable } = goal.strategy;
  const room = Math.max(0, goal.replicas + maxSurge - staying.length);
  const minAvailable = goal.replicas - maxUnavailable;
  const available = staying.filter((pod) => pod.isAvailable).length;
  const unavailableWanted = wanted.filter((pod) => !pod.isAvailable).length;
  // What is not available serves nobody; it goes first, as long as enough others remain on their way.
  const broken = superseded
    .filter((pod) => !pod.isAvailable)
    .slice(0, Math.max(0, staying.length - minAvailable - unavailableWanted));
  const spare = superseded.filter((pod) => pod.isAvailable).slice(0, Math.max(0, available - minAvailable));
  return [
    ...absent.slice(0, room).map((index) => ({ type: 'CreatePod' as const, index })),
    ...[...broken, ...spare].map((pod) => ({ type: 'RemovePod' as const, name: pod.name })),
  ];
}

function planRecreate(state: {
  readonly pods: readonly PodView[];
  readonly goal: WorkloadGoal;
  readonly superseded: readonly PodView[];
  readonly absent: readonly number[];
}): WorkloadStep[] {
  const { pods, goal, superseded, absent } = state;
  const isOldThere = pods.some((pod) => pod.hash !== goal.hash);
  return [
    ...superseded.map((pod) => ({ type: 'RemovePod' as const, name: pod.name })),
    ...(isOldThere ? [] : absent.map((index) => ({ type: 'CreatePod' as const, index }))),
  ];
}

/** As many pods as wanted are available; others may be there too. */
export function isServing(goal: WorkloadGoal, pods: readonly PodView[]): boolean {
  const wanted = pods.filter((pod) => isWantedPod(goal, pod) && pod.isAvailable && !pod.isLeaving);
  return wanted.length === goal.replicas;
}

/** The roll-out of this workload is over: it is served, and what it replaced is gone or on its way out. */
export function isComplete(goal: WorkloadGoal, pods: readonly PodView[]): boolean {
  return isServing(goal, pods) && pods.every((pod) => pod.isLeaving || isWantedPod(goal, pod));
}

function isWantedPod(goal: WorkloadGoal, pod: PodView): boolean {
  return pod.hash === goal.hash && pod.index < goal.replicas;
}
