import { hostname } from 'node:os';
import { applicationPodLabels } from '@selvedge/api/node';
import type { Container, PodSpec, PodTemplate } from '../manifest-model.ts';
import type { ObservedContainer, ObservedPod } from '../observe.ts';
import type { SiteIdentity } from '../ownership.ts';
import { podKubernetesName, podUid } from '../pod-plan.ts';

/** What the driver knows of a pod beside what Podman says. */
export interface PodKnowledge {
  readonly site: SiteIdentity;
  readonly template: PodTemplate | undefined;
  readonly podIP: string | undefined;
  readonly hostIP: string;
  readonly isLeaving: boolean;
  readonly isReady: (containerId: string) => boolean;
  readonly restarts: (container: string) => number;
}

export interface PodObject {
  readonly apiVersion: 'v1';
  readonly kind: 'Pod';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly creationTimestamp: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly spec: PodSpec & { readonly nodeName: string };
  readonly status: {
    readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
    readonly hostIP: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly startTime: string;
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses: readonly ContainerStatus[];
  };
}

export interface ContainerStatus {
  readonly name: string;
  readonly image: string;
  readonly imageID: string;
  readonly containerID?: string;
  readonly ready: boolean;
  readonly started: boolean;
  readonly restartCount: number;
  readonly state: ContainerStateStatus;
}

export interface ContainerStateStatus {
  readonly running?: { readonly startedAt: string };
  readonly waiting?: { readonly reason: string };
  readonly terminated?: {
    readonly exitCode: number;
    readonly reason: string;
    readonly startedAt: string;
    readonly finishedAt: string;
  };
}

/** A pod of this machine as the Kubernetes API shows pods. Pure. */
export function podObject(pod: ObservedPod, known: PodKnowledge): PodObject {
  const { template, podIP } = known;
  const spec = template?.spec ?? { containers: pod.containers.map(bareContainer) };
  const statusOf = (container: Container) => containerStatus(container, { pod, known, spec });
  const initStatuses = (spec.initContainers ?? []).map(statusOf);
  const statuses = spec.containers.map(statusOf);
  const isInitialized = initStatuses.every((status) => status.state.terminated?.exitCode === 0);
  const isReady = isInitialized && statuses.every((status) => status.ready);
  const condition = (type: string, isTrue: boolean) => ({ type, status: isTrue ? 'True' : 'False' });
  const [, applicationNamespace = '', application = ''] = pod.itemId.split('/');
  const created = isoTime(pod.createdAt);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: podKubernetesName(pod),
      namespace: pod.namespace,
      uid: podUid(known.site, pod.name),
      resourceVersion: '0',
      creationTimestamp: created,
      labels: {
        ...pod.labels,
        ...applicationPodLabels(applicationNamespace, application),
      },
      annotations: template?.metadata?.annotations ?? {},
    },
    spec: { ...spec, nodeName: hostname() },
    status: {
      phase: phaseOf(spec, { initStatuses, statuses }),
      conditions: [
        condition('PodScheduled', true),
        condition('Initialized', isInitialized),
        condition('ContainersReady', isReady),
        condition('Ready', isReady),
      ],
      hostIP: known.hostIP,
      ...(podIP === undefined ? {} : { podIP, podIPs: [{ ip: podIP }] }),
      startTime: created,
      ...(initStatuses.length === 0 ? {} : { initContainerStatuses: initStatuses }),
      containerStatuses: statuses,
    },
  };
}

/** All that is known of a container whose manifest is not here any more. */
const bareContainer = ({ name, image }: ObservedContainer): Container => ({ name, image });

function containerStatus(
  { name, image }: Container,
  { pod, known, spec }: { pod: ObservedPod; known: PodKnowledge; spec: PodSpec },
): ContainerStatus {
  const found = pod.containers.find((container) => container.name === name);
  const isRunning = found?.state === 'running';
  return {
    name,
    image,
    imageID: found?.image ?? '',
    ...(found ? { containerID: `podman://${found.id}` } : {}),
    ready: found !== undefined && isRunning && known.isReady(found.id),
    started: isRunning,
    restartCount: known.restarts(name),
    state: stateOf(found, { restarts: known.restarts(name), spec }),
  };
}

function stateOf(
  found: ObservedContainer | undefined,
  { restarts, spec }: { restarts: number; spec: PodSpec },
): ContainerStateStatus {
  switch (found?.state) {
    case undefined:
    case 'created':
    case 'other':
      return { waiting: { reason: 'ContainerCreating' } };
    case 'running':
    case 'paused':
      return { running: { startedAt: isoTime(found.startedAt) } };
    case 'exited': {
      const policy = spec.restartPolicy ?? 'Always';
      const startsAgain = policy === 'Always' || (policy === 'OnFailure' && found.exitCode !== 0);
      if (startsAgain && restarts > 0) return { waiting: { reason: 'CrashLoopBackOff' } };
      const reason = found.exitCode === 0 ? 'Completed' : 'Error';
      const times = { startedAt: isoTime(found.startedAt), finishedAt: isoTime(found.exitedAt) };
      return { terminated: { exitCode: found.exitCode, reason, ...times } };
    }
  }
}

function phaseOf(
  spec: PodSpec,
  {
    initStatuses,
    statuses,
  }: { initStatuses: readonly ContainerStatus[]; statuses: readonly ContainerStatus[] },
): PodObject['status']['phase'] {
  const isOver = ({ state }: ContainerStatus) => state.terminated !== undefined;
  const hasFailed = ({ state }: ContainerStatus) => (state.terminated?.exitCode ?? 0) !== 0;
  const policy = spec.restartPolicy ?? 'Always';
  if (policy === 'Never' && initStatuses.some(hasFailed)) return 'Failed';
  if (policy !== 'Always' && statuses.length > 0 && statuses.every(isOver)) {
    if (!statuses.some(hasFailed)) return 'Succeeded';
    if (policy === 'Never') return 'Failed';
  }
  const wasCreated = (status: ContainerStatus) => status.state.waiting?.reason !== 'ContainerCreating';
  return statuses.some(wasCreated) ? 'Running' : 'Pending';
}

const isoTime = (milliseconds: number) => new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');
