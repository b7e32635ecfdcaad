import type { KubeObject } from '@selvedge/api';
import type { Condition, Container, Pod, PodStatus } from './workload-objects.ts';

/**
 * What a simulated container does: said by the pod's annotation `selvedge.test/behaviour`, else by the image's last name (`example/crash:2`
 * crashes). Anything else runs and is ready at once; `process` truly runs, as a process of this machine. `slow` is ready after `selvedge.test/ready-after` seconds (default: 5).
 */
export const behaviours = [
  'run',
  'process',
  'crash',
  'missing',
  'slow',
  'never-ready',
  'fail',
  'succeed',
] as const;
export type Behaviour = (typeof behaviours)[number];

export const behaviourAnnotation = 'selvedge.test/behaviour';
export const readyAfterAnnotation = 'selvedge.test/ready-after';
/** The kubelet's back-off goes on, but what tests look for is there by then. */
const maxRestarts = 5;

export function behaviourOf(pod: KubeObject, container: Container): Behaviour {
  const name = (container.image ?? '').split('/').at(-1)?.split(/[:@]/)[0] ?? '';
  const said = pod.metadata.annotations?.[behaviourAnnotation] ?? name;
  return behaviours.find((behaviour) => behaviour === said) ?? 'run';
}

export interface ScriptedStatus {
  readonly status: PodStatus & Readonly<Record<string, unknown>>;
  /** Seconds until it is another one; undefined: it stays. */
  readonly changesIn?: number;
}

interface ContainerStatus {
  readonly state: Readonly<Record<string, unknown>>;
  readonly lastState?: Readonly<Record<string, unknown>>;
  readonly ready: boolean;
  readonly started: boolean;
  readonly restartCount: number;
  readonly changesIn?: number;
  /** It ended, and is not started again. */
  readonly exitCode?: number;
}

/** Status of a pod that has been on its node since `startTime`, in the shapes of pkg/kubelet/{kubelet_pods,container,images}. */
export function scriptedStatus(pod: Pod, now: Date): ScriptedStatus {
  const startTime = pod.status?.startTime ?? toTime(now);
  const seconds = (now.getTime() - Date.parse(startTime)) / 1000;
  const isJob = pod.spec.restartPolicy === 'Never' || pod.spec.restartPolicy === 'OnFailure';
  const each = pod.spec.containers.map((container) => ({
    container,
    status: containerStatus({ pod, container, startTime, seconds, isJob }),
  }));
  const exits = each.map(({ status }) => status.exitCode);
  const isReady = each.every(({ status }) => status.ready);
  const phase = exits.every((code) => code === 0)
    ? 'Succeeded'
    : exits.every((code) => code !== undefined)
      ? 'Failed'
      : each.some(({ status }) => status.restartCount > 0 || 'running' in status.state)
        ? 'Running'
        : 'Pending';
  const changes = each.flatMap(({ status }) => status.changesIn ?? []);
  const unready = each.filter(({ status }) => !status.ready).map(({ container }) => container.name);
  const readiness = {
    status: isReady ? 'True' : 'False',
    lastTransitionTime: transitionOf(pod, { type: 'Ready', status: isReady ? 'True' : 'False' }, now),
    ...(isReady
      ? {}
      : phase === 'Succeeded'
        ? { reason: 'PodCompleted' }
        : {
            reason: 'ContainersNotReady',
            message: `containers with unready status: [${unready.join(' ')}]`,
          }),
  };
  return {
    status: {
      phase,
      startTime,
      hostIP: '127.0.0.1',
      podIP: '10.244.0.2',
      podIPs: [{ ip: '10.244.0.2' }],
      qosClass: 'BestEffort',
      conditions: [
        { type: 'PodReadyToStartContainers', status: 'True', lastTransitionTime: startTime },
        { type: 'Initialized', status: 'True', lastTransitionTime: startTime },
        { type: 'Ready', ...readiness },
        { type: 'ContainersReady', ...readiness },
        { type: 'PodScheduled', status: 'True', lastTransitionTime: startTime },
      ],
      containerStatuses: each.map(({ container, status }) => ({
        name: container.name,
        image: container.image ?? '',
        imageID:
          'missing' === behaviourOf(pod, container)
            ? ''
            : `docker.io/${container.image}@sha256:${'0'.repeat(64)}`,
        containerID: `containerd://${container.name}-${status.restartCount}`,
        ready: status.ready,
        started: status.started,
        restartCount: status.restartCount,
        state: status.state,
        lastState: status.lastState ?? {},
      })),
    },
    ...(changes.length > 0 ? { changesIn: Math.min(...changes) } : {}),
  };
}

interface ContainerMoment {
  readonly pod: Pod;
  readonly container: Container;
  readonly startTime: string;
  readonly seconds: number;
  readonly isJob: boolean;
}

function containerStatus({ pod, container, startTime, seconds, isJob }: ContainerMoment): ContainerStatus {
  const behaviour = behaviourOf(pod, container);
  const running = { running: { startedAt: startTime } };
  const up = { started: true, restartCount: 0 };
  switch (behaviour) {
    case 'missing':
      return missingImage(container, seconds);
    case 'crash':
      return isJob ? ended({ exitCode: 1, startTime }) : crashLoop({ pod, container, startTime, seconds });
    case 'fail':
      return ended({ exitCode: 1, startTime });
    case 'succeed':
      return ended({ exitCode: 0, startTime });
    case 'never-ready':
      return { ...up, state: running, ready: false };
    case 'slow': {
      const after = Number(pod.metadata.annotations?.[readyAfterAnnotation] ?? '5');
      if (isJob && seconds >= after) return ended({ exitCode: 0, startTime });
      const ready = seconds >= after;
      return { ...up, state: running, ready, ...(ready ? {} : { changesIn: after - seconds }) };
    }
    case 'run':
    case 'process':
      return isJob ? ended({ exitCode: 0, startTime }) : { ...up, state: running, ready: true };
  }
}

/** First the error of the registry, then the back-off: pkg/kubelet/images/image_manager.go. */
function missingImage({ image = '' }: Container, seconds: number): ContainerStatus {
  const notFound = `failed to pull and unpack image "${image}": failed to resolve reference "${image}": ${image}: not found`;
  const waiting =
    seconds < 1
      ? { reason: 'ErrImagePull', message: `rpc error: code = NotFound desc = ${notFound}` }
      : {
          reason: 'ImagePullBackOff',
          message: `Back-off pulling image "${image}": ErrImagePull: ${notFound}`,
        };
  return {
    state: { waiting },
    ready: false,
    started: false,
    restartCount: 0,
    ...(seconds < 1 ? { changesIn: 1 - seconds } : {}),
  };
}

/** One crash each second, and the back-off in between: pkg/kubelet/kuberuntime `doBackOff`. */
function crashLoop(moment: Omit<ContainerMoment, 'isJob'>): ContainerStatus {
  const { pod, container, startTime, seconds } = moment;
  const restartCount = Math.min(Math.floor(seconds), maxRestarts);
  const terminated = {
    exitCode: 1,
    reason: 'Error',
    startedAt: startTime,
    finishedAt: startTime,
    containerID: `containerd://${container.name}-${Math.max(0, restartCount - 1)}`,
  };
  const place = `${container.name} pod=${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`;
  return {
    state:
      restartCount === 0
        ? { terminated }
        : {
            waiting: {
              reason: 'CrashLoopBackOff',
              message: `back-off ${10 * 2 ** (restartCount - 1)}s restarting failed container=${place}`,
            },
          },
    ...(restartCount === 0 ? {} : { lastState: { terminated } }),
    ready: false,
    started: false,
    restartCount,
    ...(restartCount < maxRestarts ? { changesIn: restartCount + 1 - seconds } : {}),
  };
}

function ended({ exitCode, startTime }: { exitCode: number; startTime: string }): ContainerStatus {
  const reason = exitCode === 0 ? 'Completed' : 'Error';
  const terminated = { exitCode, reason, startedAt: startTime, finishedAt: startTime };
  return { state: { terminated }, ready: false, started: false, restartCount: 0, exitCode };
}

export function logLines(
  pod: KubeObject,
  options: { container: string | undefined; previous: boolean },
): string[] | undefined {
  const { containers } = (pod as Pod).spec;
  const container = containers.find(({ name }) => name === options.container) ?? containers[0];
  if (!container) return undefined;
  switch (behaviourOf(pod, container)) {
    case 'missing':
      return undefined;
    case 'crash':
    case 'fail':
      return [
        `${container.name} starts`,
        'cannot reach the database at db:5432',
        `${container.name} ends with 1`,
      ];
    default:
      return [`${container.name} starts`, `${container.name} serves`];
  }
}

/** When the condition got the status that it has. */
export function transitionOf(
  object: Pick<Pod, 'status'>,
  { type, status }: Pick<Condition, 'type' | 'status'>,
  now: Date,
): string {
  const before = object.status?.conditions?.find((condition) => condition.type === type);
  return before?.status === status && before.lastTransitionTime !== undefined
    ? before.lastTransitionTime
    : toTime(now);
}

/** RFC 3339 to the second, as Kubernetes writes times. */
export function toTime(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}
