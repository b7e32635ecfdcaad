import type { PodSpec } from './manifest-model.ts';
import type { ObservedContainer, ObservedPod } from './observe.ts';
import type { RestartBackoff } from './restart-backoff.ts';

/** What the probes say of a running container. */
export interface ProbeState {
  /** The startup probe has passed, or there is none. */
  readonly isStarted: boolean;
  readonly isReady: boolean;
  /** A liveness or startup probe has failed for good: the container is to be restarted. */
  readonly mustRestart?: string;
  /** Last answer of a failing probe. */
  readonly message?: string;
}

export type ProblemReason = 'CrashLoop' | 'InitFailed' | 'ProbeFailed' | 'ContainerFailed';

/** Why a pod is not ready. */
export interface PodProblem {
  readonly reason: ProblemReason;
  readonly message: string;
  /** Container to take log lines from. */
  readonly container: string;
  /** Waiting longer will hardly help: the release counts as failed before its deadline. */
  readonly isLasting: boolean;
}

export type PodAction =
  /** The pod's own container does not run: make the pod anew. */
  | { readonly type: 'RecreatePod' }
  /** Make the container anew and start it. */
  | { readonly type: 'StartContainer'; readonly container: string; readonly ended?: ObservedContainer }
  | { readonly type: 'StopContainer'; readonly container: ObservedContainer; readonly why: string };

export interface PodStatus {
  readonly isReady: boolean;
  /** All containers ended well and none is to be started again. */
  readonly isCompleted: boolean;
  readonly action?: PodAction;
  readonly problem?: PodProblem;
  /** Nothing to do before this time (ms). */
  readonly wakeAt?: number;
}

/** Restarts after which a container counts as crash-looping. */
const crashLoopRestarts = 3;

export interface PodStatusContext {
  readonly spec: PodSpec;
  readonly probes: (containerId: string) => ProbeState;
  readonly backoff: Pick<RestartBackoff, 'notBefore' | 'restarts'>;
  readonly now: number;
}

const idle: PodStatus = { isReady: false, isCompleted: false };

/** Where a pod stands and the one thing to do next to it. Pure. */
export function podStatus(pod: ObservedPod, context: PodStatusContext): PodStatus {
  const { spec } = context;
  if (pod.infra?.state !== 'running') return { ...idle, action: { type: 'RecreatePod' } };
  const byName = new Map(pod.containers.map((container) => [container.name, container]));
  for (const { name } of spec.initContainers ?? []) {
    const status = initStatus(name, { pod, context, container: byName.get(name) });
    if (status) return status;
  }
  const each = spec.containers.map(({ name }) =>
    appStatus(name, { pod, context, container: byName.get(name) }),
  );
  const action = each.find((status) => status.action)?.action;
  const problem = each.find((status) => status.problem)?.problem;
  const wakeTimes = each.map((status) => status.wakeAt).filter((time) => time !== undefined);
  return {
    isReady: each.every((status) => status.isReady),
    isCompleted: each.every((status) => status.isCompleted),
    ...(action ? { action } : {}),
    ...(problem ? { problem } : {}),
    ...(wakeTimes.length > 0 ? { wakeAt: Math.min(...wakeTimes) } : {}),
  };
}

interface Subject {
  readonly pod: ObservedPod;
  readonly context: PodStatusContext;
  readonly container: ObservedContainer | undefined;
}

/** Undefined when the init container has done its work. */
function initStatus(name: string, { pod, context, container }: Subject): PodStatus | undefined {
  if (!container || container.state === 'created')
    return { ...idle, action: { type: 'StartContainer', container: name } };
  if (container.state !== 'exited') return idle;
  if (container.exitCode === 0) return undefined;
  const policy = context.spec.restartPolicy ?? 'Always';
  const ended = `init container ${name} ended with code ${container.exitCode}`;
  if (policy === 'Never') {
    return { ...idle, problem: { reason: 'InitFailed', message: ended, container: name, isLasting: true } };
  }
  return restartLater(name, { pod, context, container }, { reason: 'InitFailed', message: ended });
}

function appStatus(name: string, subject: Subject): PodStatus {
  const { context, container } = subject;
  if (!container || container.state === 'created')
    return { ...idle, action: { type: 'StartContainer', container: name } };
  if (container.state !== 'exited') return runningStatus(name, container, context);
  const policy = context.spec.restartPolicy ?? 'Always';
  const isDone = policy === 'Never' || (policy === 'OnFailure' && container.exitCode === 0);
  const ended = `container ${name} ended with code ${container.exitCode}`;
  if (!isDone) return restartLater(name, subject, { reason: 'CrashLoop', message: ended });
  if (container.exitCode === 0) return { isReady: true, isCompleted: true };
  return {
    ...idle,
    problem: { reason: 'ContainerFailed', message: ended, container: name, isLasting: true },
  };
}

function runningStatus(name: string, container: ObservedContainer, context: PodStatusContext): PodStatus {
  const probe = context.probes(container.id);
  const problem: PodProblem = {
    reason: 'ProbeFailed',
    message: `container ${name}: ${probe.mustRestart ?? probe.message ?? 'not ready yet'}`,
    container: name,
    isLasting: false,
  };
  if (probe.mustRestart !== undefined) {
    return { ...idle, problem, action: { type: 'StopContainer', container, why: probe.mustRestart } };
  }
  if (probe.isReady) return { isReady: true, isCompleted: false };
  return probe.message === undefined ? idle : { ...idle, problem };
}

/** Starts the container again when its pause is over. */
function restartLater(
  name: string,
  { pod, context, container }: Subject,
  { reason, message }: Pick<PodProblem, 'reason' | 'message'>,
): PodStatus {
  if (!container) return idle;
  const key = `${pod.name}/${name}`;
  const restarts = context.backoff.restarts(key);
  const notBefore = context.backoff.notBefore(key, container);
  const problem: PodProblem = {
    reason,
    message: restarts === 0 ? message : `${message} after ${restarts} restart${restarts === 1 ? '' : 's'}`,
    container: name,
    isLasting: restarts >= crashLoopRestarts,
  };
  if (context.now >= notBefore) {
    return { ...idle, problem, action: { type: 'StartContainer', container: name, ended: container } };
  }
  return { ...idle, problem, wakeAt: notBefore };
}

/** Without its manifests a pod can only be watched and started as it is. */
export function statusWithoutTemplate(pod: ObservedPod): PodStatus {
  const isRunning = pod.infra?.state === 'running';
  const isReady = isRunning && pod.containers.some((container) => container.state === 'running');
  return { isReady, isCompleted: false, ...(isRunning ? {} : { action: { type: 'RecreatePod' } }) };
}
