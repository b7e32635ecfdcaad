import type { LibpodClient } from './libpod-client.ts';
import { labelNames } from './ownership.ts';

export type ContainerState = 'created' | 'running' | 'exited' | 'paused' | 'other';

/** A container as Podman shows it, with our meaning. */
export interface ObservedContainer {
  readonly id: string;
  /** Name in the manifest; '' for the pod's own. */
  readonly name: string;
  readonly isInfra: boolean;
  readonly image: string;
  readonly state: ContainerState;
  readonly exitCode: number;
  readonly pid: number;
  /** Milliseconds; 0: never. */
  readonly startedAt: number;
  readonly exitedAt: number;
}

export interface ObservedPod {
  readonly id: string;
  /** Podman's name. */
  readonly name: string;
  readonly role: 'pod' | 'service';
  /** Milliseconds. */
  readonly createdAt: number;
  readonly itemId: string;
  readonly itemUid: string;
  readonly release: string;
  readonly digest: string;
  readonly namespace: string;
  readonly workload: string;
  readonly hash: string;
  readonly index: number;
  /** Labels of the Kubernetes pod. */
  readonly labels: Readonly<Record<string, string>>;
  /** Named ports of its containers. */
  readonly ports: Readonly<Record<string, number>>;
  /** `namespace/name` of the Service that a service pod stands for. */
  readonly service: string;
  readonly serviceHash: string;
  /** Holds the pod's network; missing when the pod's creation was cut off. */
  readonly infra: ObservedContainer | undefined;
  readonly containers: readonly ObservedContainer[];
}

interface ListedPod {
  Id: string;
  /** RFC 3339. */
  Created: string;
  Name: string;
  Labels: Record<string, string> | null;
}
interface ListedContainer {
  Id: string;
  Pod: string;
  State: string;
  ExitCode: number;
  Pid: number;
  StartedAt: number;
  ExitedAt: number;
  IsInfra: boolean;
  Image: string;
  Labels: Record<string, string> | null;
}

/** Everything that carries our site's uid. */
export async function observePods(client: LibpodClient, siteUid: string): Promise<ObservedPod[]> {
  const filters = JSON.stringify({ label: [`${labelNames.site}=${siteUid}`] });
  const [pods, containers] = await Promise.all([
    client.call<ListedPod[] | null>({ path: '/pods/json', query: { filters } }),
    client.call<ListedContainer[] | null>({ path: '/containers/json', query: { all: true, filters } }),
  ]);
  const byPod = Map.groupBy(containers ?? [], (container) => container.Pod);
  return (pods ?? []).map((pod) => toPod(pod, (byPod.get(pod.Id) ?? []).map(toContainer)));
}

function toPod(pod: ListedPod, containers: readonly ObservedContainer[]): ObservedPod {
  const label = (name: keyof typeof labelNames) => pod.Labels?.[labelNames[name]] ?? '';
  return {
    id: pod.Id,
    name: pod.Name,
    role: label('role') === 'service' ? 'service' : 'pod',
    createdAt: Date.parse(pod.Created) || 0,
    itemId: label('item'),
    itemUid: label('itemUid'),
    release: label('release'),
    digest: label('digest'),
    namespace: label('namespace'),
    workload: label('workload'),
    hash: label('templateHash'),
    index: Number(label('index')),
    labels: JSON.parse(label('podLabels') || '{}') as Record<string, string>,
    ports: JSON.parse(label('podPorts') || '{}') as Record<string, number>,
    service: label('service'),
    serviceHash: label('serviceHash'),
    infra: containers.find((container) => container.isInfra),
    containers: containers.filter((container) => !container.isInfra),
  };
}

const states: Readonly<Record<string, ContainerState>> = {
  configured: 'created',
  created: 'created',
  initialized: 'created',
  running: 'running',
  stopping: 'running',
  stopped: 'exited',
  exited: 'exited',
  paused: 'paused',
};

function toContainer(container: ListedContainer): ObservedContainer {
  return {
    id: container.Id,
    name: container.Labels?.[labelNames.container] ?? '',
    isInfra: container.IsInfra,
    image: container.Image,
    state: states[container.State] ?? 'other',
    exitCode: container.ExitCode,
    pid: container.Pid,
    startedAt: Math.max(0, container.StartedAt) * 1000,
    exitedAt: Math.max(0, container.ExitedAt) * 1000,
  };
}
