import type { ContainerStatus, PodObject } from './pod-objects.ts';

/** `isWide`: shown by `-o wide` only. */
const column = (name: string, description: string, isWide = false) => ({
  name,
  type: name === 'Restarts' ? 'integer' : 'string',
  format: name === 'Name' ? 'name' : '',
  description,
  priority: isWide ? 1 : 0,
});

const podColumns = [
  column('Name', 'Name of the pod'),
  column('Ready', 'Containers that are ready, of all'),
  column('Status', 'What the pod does'),
  column('Restarts', 'Times that its containers were started again'),
  column('Age', 'Since the pod was made'),
  column('IP', 'Address in the network of the site', true),
  column('Node', 'The machine', true),
];

export interface TablePod {
  readonly pod: PodObject;
  readonly isLeaving: boolean;
}

/** A `meta.k8s.io/v1` Table as `kubectl get pods` shows it. */
export function podTable(pods: readonly TablePod[], now: number, version: string): object {
  return table(
    podColumns,
    version,
    pods.map(({ pod, isLeaving }) => ({
      cells: podCells(pod, isLeaving, now),
      object: partial(version, pod.metadata),
    })),
  );
}

/** The same for namespaces. */
export function namespaceTable(
  namespaces: readonly { readonly metadata: { readonly name: string } }[],
  version: string,
): object {
  const columns = [column('Name', 'Name of the namespace'), column('Status', 'Always Active')];
  return table(
    columns,
    version,
    namespaces.map(({ metadata }) => ({
      cells: [metadata.name, 'Active'],
      object: partial(version, metadata),
    })),
  );
}

function table(columnDefinitions: readonly object[], version: string, rows: readonly object[]): object {
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: { resourceVersion: '0' },
    columnDefinitions,
    rows,
  };
}

const partial = (version: string, metadata: object) => ({
  kind: 'PartialObjectMetadata',
  apiVersion: `meta.k8s.io/${version}`,
  metadata,
});

function podCells(pod: PodObject, isLeaving: boolean, now: number): (string | number)[] {
  const { containerStatuses, podIP } = pod.status;
  const ready = containerStatuses.filter((status) => status.ready).length;
  const restarts = containerStatuses.reduce((sum, status) => sum + status.restartCount, 0);
  return [
    pod.metadata.name,
    `${ready}/${containerStatuses.length}`,
    isLeaving ? 'Terminating' : statusText(pod),
    restarts,
    shortDuration(now - Date.parse(pod.metadata.creationTimestamp)),
    podIP ?? '<none>',
    pod.spec.nodeName,
  ];
}

/** The STATUS column by Kubernetes' rules: an unfinished init container, then what ails a container, then the phase. */
function statusText({ status }: PodObject): string {
  const inits = status.initContainerStatuses ?? [];
  const index = inits.findIndex(({ state }) => state.terminated?.exitCode !== 0);
  const init = inits[index];
  if (init) {
    const { waiting, terminated } = init.state;
    if (terminated) return `Init:${terminated.reason}`;
    const reason = waiting?.reason;
    return reason === undefined || reason === 'ContainerCreating'
      ? `Init:${index}/${inits.length}`
      : `Init:${reason}`;
  }
  const troubled = status.containerStatuses.findLast(isTroubled);
  const reason = troubled?.state.waiting?.reason ?? troubled?.state.terminated?.reason;
  const isRunning = status.containerStatuses.some(({ state }) => state.running);
  if (reason === 'Completed' && isRunning) return 'Running';
  return reason ?? status.phase;
}

const isTroubled = ({ state }: ContainerStatus) => state.running === undefined;

/** As kubectl writes ages: two units while they are small. */
export function shortDuration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  const two = (large: string, rest: number, unit: string) => (rest === 0 ? large : `${large}${rest}${unit}`);
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return two(`${minutes}m`, seconds % 60, 's');
  if (hours < 3) return `${minutes}m`;
  if (hours < 8) return two(`${hours}h`, minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (days < 8) return two(`${days}d`, hours % 24, 'h');
  return `${days}d`;
}
