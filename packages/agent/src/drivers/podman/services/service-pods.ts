import { canonicalJson, type DesiredItem } from '@selvedge/api';
import type { DesiredService } from '../desired-app.ts';
import { isMissing, type LibpodClient } from '../libpod-client.ts';
import type { ObservedPod } from '../observe.ts';
import { itemLabels, labelNames, type PodmanNames, shortHash, type SiteIdentity } from '../ownership.ts';
import { serviceAliases } from '../pod-plan.ts';
import { assertPortFree, HostPortError } from './host-ports.ts';

export interface ServicePodsOptions {
  readonly client: LibpodClient;
  readonly names: PodmanNames;
  readonly site: SiteIdentity;
  /** Address of the machine on which ports are published. */
  readonly hostIp: string;
  /** Whether an item was let go: what it left is nobody's. */
  readonly isOrphaned: (itemUid: string) => boolean;
}

/** The name of a Service belongs to another application of this site. */
export class ServiceNameTakenError extends Error {
  override readonly name = 'ServiceNameTakenError';
  /** The holder is an earlier application of the same name that is on its way out. */
  readonly isLeaving: boolean;

  constructor(message: string, options: { isLeaving: boolean }) {
    super(message);
    this.isLeaving = options.isLeaving;
  }
}

/**
 * One pod per Service that has nothing but an address: it carries the Service's names and published ports, so neither ever
 * moves while the pods behind it are replaced. Where connections go is decided by `serviceTable` inside its network.
 */
export class ServicePods {
  readonly #options: ServicePodsOptions;

  constructor(options: ServicePodsOptions) {
    this.#options = options;
  }

  /** Changes of it need another pod: names and published ports. Endpoints do not. */
  hashOf(service: DesiredService): string {
    return shortHash(canonicalJson([service.key, service.published, this.#options.hostIp]), 10);
  }

  isCurrent(service: DesiredService, item: DesiredItem, pod: ObservedPod | undefined): boolean {
    return (
      pod !== undefined &&
      pod.itemUid === item.uid &&
      pod.serviceHash === this.hashOf(service) &&
      pod.infra?.state === 'running'
    );
  }

  /** Throws when a name or a port that the Services need is taken; touches nothing. */
  async assertAvailable(
    services: readonly DesiredService[],
    item: DesiredItem,
    pods: readonly ObservedPod[],
  ): Promise<void> {
    for (const service of services) {
      const pod = pods.find((p) => p.role === 'service' && p.service === service.key);
      if (pod && pod.itemUid !== item.uid) {
        const isOrphan = this.#options.isOrphaned(pod.itemUid);
        const isLeaving = pod.itemId === item.id && !isOrphan;
        let holder = pod.itemId;
        if (isOrphan) holder += `, left here as an orphan; remove it with podman pod rm --force ${pod.name}`;
        if (isLeaving) holder = `an earlier ${item.id}, which is to be removed first`;
        throw new ServiceNameTakenError(`Service ${service.key} belongs to ${holder}`, { isLeaving });
      }
      if (pod?.infra?.state === 'running' && pod.serviceHash === this.hashOf(service)) continue;
      for (const port of service.published) await this.#assertPortFree(port, item, pods);
    }
  }

  async #assertPortFree(
    port: DesiredService['published'][number],
    item: DesiredItem,
    pods: readonly ObservedPod[],
  ): Promise<void> {
    try {
      await assertPortFree(port, this.#options.hostIp);
    } catch (error) {
      if (!(error instanceof HostPortError) || error.reason !== 'PortInUse') throw error;
      const holder = await this.#containerWithPort(port);
      const ours = pods.find((p) => p.role === 'service' && p.infra?.id === holder?.Id);
      // A Service of the same application may keep its port while its other ports change.
      if (ours?.itemUid === item.uid) return;
      if (holder === undefined) throw error;
      const name = ours ? `Service ${ours.service} of ${ours.itemId}` : `container ${holder.Names[0]}`;
      throw new HostPortError(
        'PortInUse',
        `port ${port.hostPort}/${port.protocol} of this machine is in use by ${name}`,
      );
    }
  }

  async #containerWithPort(port: { hostPort: number; protocol: string }): Promise<ListedPorts | undefined> {
    const list = await this.#options.client.call<ListedPorts[] | null>({ path: '/containers/json' });
    return list?.find((container) =>
      container.Ports?.some(
        (p) =>
          p.protocol.split(',').includes(port.protocol.toLowerCase()) &&
          port.hostPort >= p.host_port &&
          port.hostPort < p.host_port + Math.max(1, p.range),
      ),
    );
  }

  /** Makes the Service's pod, or brings it back as it was. */
  async ensure(service: DesiredService, item: DesiredItem, pod: ObservedPod | undefined): Promise<void> {
    if (this.isCurrent(service, item, pod)) return;
    const { client, names } = this.#options;
    if (pod && (pod.serviceHash !== this.hashOf(service) || !pod.infra)) await this.remove(pod);
    else if (pod?.infra) {
      await client.call({ method: 'POST', path: `/containers/${pod.infra.id}/start` });
      return;
    }
    const name = names.servicePod(service);
    await client.call({ method: 'POST', path: '/pods/create', body: this.#body(service, item) });
    await client.call({ method: 'POST', path: `/containers/${names.infra(name)}/start` });
  }

  async remove(pod: ObservedPod): Promise<void> {
    try {
      await this.#options.client.call({
        method: 'DELETE',
        path: `/pods/${pod.id}`,
        query: { force: true, timeout: 0 },
      });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }

  #body(service: DesiredService, item: DesiredItem): Record<string, unknown> {
    const { names, site, hostIp } = this.#options;
    const name = names.servicePod(service);
    return {
      name,
      infra_name: names.infra(name),
      hostname: service.name.slice(0, 63),
      labels: {
        ...itemLabels(site, item),
        [labelNames.role]: 'service',
        [labelNames.namespace]: service.namespace,
        [labelNames.service]: service.key,
        [labelNames.serviceHash]: this.hashOf(service),
      },
      shared_namespaces: ['net', 'ipc', 'uts'],
      exit_policy: 'continue',
      restart_policy: 'no',
      // Rootless Podman would take slirp4netns by itself.
      netns: { nsmode: 'bridge' },
      Networks: { [names.network]: { aliases: serviceAliases(service.namespace, service.name) } },
      sysctl: { 'net.ipv4.ip_forward': '1' },
      portmappings: service.published.map(({ hostPort, port, protocol }) => ({
        host_ip: hostIp === '0.0.0.0' ? '' : hostIp,
        host_port: hostPort,
        container_port: port,
        protocol: protocol.toLowerCase(),
      })),
    };
  }
}

interface ListedPorts {
  Id: string;
  Names: string[];
  Ports: { host_port: number; range: number; protocol: string }[] | null;
}
