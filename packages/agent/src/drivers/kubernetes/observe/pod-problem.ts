import type { KubeObject } from '@selvedge/api';
import { findCondition, listAt, numberAt, textAt, valueAt } from '../health/read-fields.ts';

/** What is wrong with one pod, as its status tells. */
export interface PodFault {
  readonly reason: string;
  readonly message: string;
  readonly isLasting: boolean;
  /** The container at fault; its log is worth reading when it has run. */
  readonly container?: { readonly name: string; readonly log: 'none' | 'current' | 'previous' };
  /** Nothing is known but that it is not ready: events may tell why. */
  readonly isVague?: true;
}

/** Restarts after which a container that crashes is not expected to recover, as at Podman sites. */
const crashLoopRestarts = 3;

/** Waiting reasons that do not go away until somebody changes the release, or what it needs at the site. */
const lastingReasons = new Set(['InvalidImageName', 'ErrImageNeverPull']);

/** Waiting reasons of a container that is on its way. */
const usualReasons = new Set(['ContainerCreating', 'PodInitializing']);

/** Undefined: it is ready, has done its work, or is on its way as it should be. The most telling fault first. */
export function findPodFault(pod: KubeObject): PodFault | undefined {
  const phase = textAt(pod, 'status.phase');
  if (phase === 'Succeeded' || findCondition(pod, 'Ready')?.status === 'True') return undefined;
  const containers = [
    ...listAt(pod, 'status.initContainerStatuses'),
    ...listAt(pod, 'status.containerStatuses'),
    ...listAt(pod, 'status.ephemeralContainerStatuses'),
  ];
  const fault = containers.map(containerFault).find((found) => found !== undefined);
  if (phase === 'Failed' && textAt(pod, 'status.reason') !== undefined) {
    return {
      reason: textAt(pod, 'status.reason') ?? '',
      message: textAt(pod, 'status.message') ?? 'the pod was ended',
      isLasting: false,
    };
  }
  return fault ?? schedulingFault(pod) ?? unreadyFault(pod);
}

function schedulingFault(pod: KubeObject): PodFault | undefined {
  const scheduled = findCondition(pod, 'PodScheduled');
  if (scheduled?.status !== 'False') return undefined;
  return {
    reason: scheduled.reason ?? 'Unschedulable',
    message: scheduled.message ?? 'no node was found for the pod',
    isLasting: false,
  };
}

function unreadyFault(pod: KubeObject): PodFault | undefined {
  const isInitialized = findCondition(pod, 'Initialized')?.status !== 'False';
  const running = listAt(pod, 'status.containerStatuses').find(
    (status) => valueAt(status, 'ready') !== true && valueAt(status, 'state.running') !== undefined,
  );
  const name = textAt(running, 'name');
  if (name !== undefined && isInitialized) {
    const isStarted = valueAt(running, 'started') !== false;
    return {
      reason: isStarted ? 'NotReady' : 'NotStarted',
      message: `container ${name} runs and ${isStarted ? 'is not ready' : 'has not finished starting'}`,
      isLasting: false,
      isVague: true,
      container: { name, log: 'current' },
    };
  }
  return textAt(pod, 'spec.nodeName') === undefined
    ? undefined
    : {
        reason: 'NotStarted',
        message: 'its containers have not been started',
        isLasting: false,
        isVague: true,
      };
}

function containerFault(status: unknown): PodFault | undefined {
  const name = textAt(status, 'name') ?? '';
  const waiting = textAt(status, 'state.waiting.reason');
  const message = textAt(status, 'state.waiting.message');
  const restarts = numberAt(status, 'restartCount') ?? 0;
  const isLasting = restarts >= crashLoopRestarts;
  if (waiting === 'CrashLoopBackOff') {
    const { reason, text } = endOf(status, 'lastState.terminated');
    return {
      reason: reason === 'OOMKilled' ? 'OOMKilled' : 'CrashLoopBackOff',
      message: `container ${name} ${text}${timesText(restarts)}`,
      isLasting,
      container: { name, log: 'previous' },
    };
  }
  if (waiting !== undefined && !usualReasons.has(waiting)) {
    return {
      reason: waiting,
      message: `container ${name}: ${message ?? waiting}`,
      isLasting: lastingReasons.has(waiting) || isMissingImage(waiting, message) || isLasting,
      container: { name, log: 'none' },
    };
  }
  const ended = valueAt(status, 'state.terminated');
  if (ended !== undefined && numberAt(ended, 'exitCode') !== 0) {
    // Between two tries; also a pod that is not started again.
    const { reason, text } = endOf(status, 'state.terminated');
    const hasRun = reason !== 'StartError' && reason !== 'ContainerCannotRun';
    return {
      reason: reason === 'Error' ? (restarts > 0 ? 'CrashLoopBackOff' : 'ContainerFailed') : reason,
      message: `container ${name} ${text}${timesText(restarts)}`,
      isLasting,
      container: { name, log: hasRun ? 'current' : 'none' },
    };
  }
  if (valueAt(status, 'state.running') !== undefined && restarts > 0 && valueAt(status, 'ready') !== true) {
    const { reason, text } = endOf(status, 'lastState.terminated');
    return {
      reason: reason === 'OOMKilled' ? 'OOMKilled' : 'Restarted',
      message: `container ${name} ${text}${timesText(restarts)}`,
      isLasting: false,
      container: { name, log: 'previous' },
    };
  }
  return undefined;
}

const timesText = (restarts: number): string => (restarts > 0 ? `, restarted ${restarts} times` : '');

/** The registry was asked and has no such image, as against one that cannot be reached now, or wants a login: that may be on its way. */
function isMissingImage(reason: string, message: string | undefined): boolean {
  if (reason !== 'ErrImagePull' && reason !== 'ImagePullBackOff') return false;
  return (
    /\b(not found|manifest unknown|name unknown|repository does not exist)\b/i.test(message ?? '') &&
    !/no such host|connection refused|timeout|access denied|authorization|unauthorized/i.test(message ?? '')
  );
}

function endOf(status: unknown, path: string): { reason: string; text: string } {
  const reason = textAt(status, `${path}.reason`) ?? 'Error';
  const exitCode = numberAt(status, `${path}.exitCode`);
  if (exitCode === undefined) return { reason, text: 'has ended' };
  const message = textAt(status, `${path}.message`);
  const why =
    reason === 'OOMKilled'
      ? 'was ended as it used more memory than it may (OOMKilled)'
      : `ended with exit code ${exitCode}`;
  return { reason, text: message === undefined ? why : `${why}: ${message}` };
}
