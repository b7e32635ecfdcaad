import type { LinkDoor } from '../../../link/link-door.ts';
import type { ItemKeeper } from '../item-keeper.ts';
import { PodNetworkAccess } from '../pod-network-access.ts';
import type { PodmanHost } from '../podman-host.ts';
import type { SiteRuntime } from '../site-runtime.ts';
import { PodmanDoor } from './podman-door.ts';

/** The parts of the driver that change while a door is open. */
export interface DoorSources {
  readonly host: PodmanHost;
  readonly hostIP: string;
  readonly findKeeper: (itemUid: string) => ItemKeeper | undefined;
  readonly findAddress: (infraId: string) => string | undefined;
}

/** The door of the service link at a Podman site. */
export function openPodmanDoor(runtime: SiteRuntime, sources: DoorSources): LinkDoor {
  const { client, site, clock, prober, backoff, isLeaving } = runtime;
  const { host, hostIP, findKeeper, findAddress } = sources;
  return new PodmanDoor({
    client,
    site,
    clock,
    hostIP,
    network: new PodNetworkAccess(host.isRootless),
    podmanVersion: host.version,
    findTemplate: (pod) => findKeeper(pod.itemUid)?.findTemplate(pod.hash),
    findAddress: (pod) => findAddress(pod.infra?.id ?? ''),
    isLeaving: (pod) => isLeaving(pod.name),
    isReady: (id) => prober.stateOf(id).isReady,
    restarts: (pod, container) => backoff.restarts(`${pod.name}/${container}`),
  });
}
