import { createHash } from 'node:crypto';
import type { DesiredItem } from '@selvedge/api';

/** Labels of everything that this driver makes. What lacks `site` with our site's uid is never touched. */
export const labelNames = {
  site: 'selvedge.dev/site-uid',
  siteName: 'selvedge.dev/site',
  role: 'selvedge.dev/role',
  item: 'selvedge.dev/item',
  itemUid: 'selvedge.dev/item-uid',
  release: 'selvedge.dev/release',
  digest: 'selvedge.dev/digest',
  epoch: 'selvedge.dev/epoch',
  namespace: 'selvedge.dev/namespace',
  workload: 'selvedge.dev/workload',
  templateHash: 'selvedge.dev/template-hash',
  index: 'selvedge.dev/index',
  podLabels: 'selvedge.dev/pod-labels',
  podPorts: 'selvedge.dev/pod-ports',
  pod: 'selvedge.dev/pod',
  container: 'selvedge.dev/container',
  service: 'selvedge.dev/service',
  serviceHash: 'selvedge.dev/service-hash',
} as const;

/** The site that this agent keeps; its uid marks what is ours. */
export interface SiteIdentity {
  readonly name: string;
  readonly uid: string;
}

/** Names are made of what they stand for, so an agent that was killed finds again what it had begun. */
export class PodmanNames {
  readonly #prefix: string;
  /** Name of the site's network. */
  readonly network: string;
  /** Linux allows 15 characters; sites that share a machine must not share a bridge. */
  readonly bridge: string;

  constructor(site: SiteIdentity) {
    const id = shortHash(site.uid, 8);
    this.#prefix = `selvedge-${id}`;
    this.network = this.#prefix;
    this.bridge = `svg${id}`;
  }

  pod(workload: { readonly name: string; readonly hash: string }, index: number): string {
    return `${this.#prefix}-${workload.name.slice(0, 40)}-${workload.hash}-${index}`;
  }

  /** Two underscores never stand in a Kubernetes name, so nothing of a pod can be taken for something else. */
  infra(pod: string): string {
    return `${pod}__infra`;
  }

  container(pod: string, container: string): string {
    return `${pod}__c_${container}`;
  }

  scratchVolume(pod: string, volume: string): string {
    return `${pod}__v_${volume}`;
  }

  /** Not made of the item's uid: data outlives the application and is found by one that is made again. */
  claimVolume(namespace: string, claim: string): string {
    return `${this.#prefix}__pvc_${namespace}_${claim}`;
  }

  servicePod(service: { readonly namespace: string; readonly name: string }): string {
    return `${this.#prefix}__svc_${service.namespace}_${service.name}`;
  }
}

export function itemLabels(site: SiteIdentity, item: DesiredItem): Record<string, string> {
  return {
    [labelNames.site]: site.uid,
    [labelNames.siteName]: site.name,
    [labelNames.item]: item.id,
    [labelNames.itemUid]: item.uid,
    [labelNames.release]: item.release,
    [labelNames.digest]: item.digest,
    [labelNames.epoch]: String(item.epoch),
  };
}

export function shortHash(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
