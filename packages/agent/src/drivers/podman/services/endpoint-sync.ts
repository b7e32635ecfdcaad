import type { Logger } from '@selvedge/api';
import type { DesiredService } from '../desired-app.ts';
import { selects } from '../desired-app.ts';
import type { ObservedPod } from '../observe.ts';
import type { PodNetworkAccess } from '../pod-network-access.ts';
import type { SiteView } from '../site-runtime.ts';
import { type ServiceRoute, serviceTable } from './service-table.ts';

/** A pod as Services see it. */
export interface EndpointCandidate {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ip: string;
  readonly isReady: boolean;
  /** Named container ports. */
  readonly ports: Readonly<Record<string, number>>;
}

/** An item as Services see it. */
export interface EndpointSource {
  readonly services: readonly DesiredService[];
  /** Names of pods that are ready for traffic. */
  readonly servingPods: ReadonlySet<string>;
}

/** Where each port of a Service leads now. Pure. */
export function routesOf(service: DesiredService, candidates: readonly EndpointCandidate[]): ServiceRoute[] {
  const pods = candidates.filter(
    (pod) =>
      pod.namespace === service.namespace &&
      (pod.isReady || service.includesNotReady) &&
      selects(service.selector, pod.labels),
  );
  return service.ports.map(({ port, targetPort, protocol }) => ({
    protocol,
    port,
    endpoints: pods
      .flatMap((pod) => {
        const target = typeof targetPort === 'number' ? targetPort : pod.ports[targetPort];
        return target === undefined ? [] : [{ ip: pod.ip, port: target }];
      })
      .sort((a, b) => (a.ip < b.ip ? -1 : 1)),
  }));
}

/** Puts the routes into the network of each Service's pod, whenever they or the pod changed. */
export class EndpointSync {
  readonly #network: PodNetworkAccess;
  readonly #logger: Logger;
  /** Pod process and rules that were put there. */
  readonly #applied = new Map<string, string>();

  constructor(network: PodNetworkAccess, logger: Logger) {
    this.#network = network;
    this.#logger = logger;
  }

  /**
   * Lets each Service lead to the pods that are ready and stay: `leaving` are names of those that do not. @returns false when one could
   * not be set.
   */
  async applyAll(
    items: readonly EndpointSource[],
    view: SiteView,
    leaving: ReadonlySet<string>,
  ): Promise<boolean> {
    const ready = new Set(items.flatMap((item) => [...item.servingPods]));
    const candidates = view.pods
      .filter((pod) => pod.role === 'pod' && !leaving.has(pod.name))
      .flatMap((pod) => {
        const ip = view.addresses.get(pod.infra?.id ?? '');
        const { namespace, labels, ports } = pod;
        return ip === undefined ? [] : [{ namespace, labels, ip, ports, isReady: ready.has(pod.name) }];
      });
    let areSet = true;
    for (const service of items.flatMap((item) => item.services)) {
      const pod = view.pods.find((p) => p.role === 'service' && p.service === service.key);
      const address = view.addresses.get(pod?.infra?.id ?? '');
      if (service.isHeadless || !pod || address === undefined) continue;
      try {
        await this.#apply(service, pod, { address, routes: routesOf(service, candidates) });
      } catch (error) {
        this.#logger.warn('service endpoints cannot be set', { service: service.key, error });
        areSet = false;
      }
    }
    return areSet;
  }

  async #apply(
    service: DesiredService,
    pod: ObservedPod,
    given: { address: string; routes: ServiceRoute[] },
  ): Promise<void> {
    if (pod.infra?.state !== 'running') return;
    const table = serviceTable(given.address, given.routes);
    const mark = `${pod.infra.id} ${pod.infra.pid}\n${table}`;
    if (this.#applied.get(service.key) === mark) return;
    await this.#network.run(pod.infra.pid, ['nft', '-f', '-'], { input: table });
    this.#applied.set(service.key, mark);
    this.#logger.debug('service endpoints set', {
      service: service.key,
      endpoints: given.routes.map((route) => route.endpoints.length),
    });
  }

  forget(serviceKey: string): void {
    this.#applied.delete(serviceKey);
  }
}
