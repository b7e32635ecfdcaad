import { isNotFound, type KubeObject } from '@selvedge/api';
import type { SiteCluster } from '../site-cluster.ts';
import type { ObjectRef } from '../release/planned-object.ts';
import type { ItemRecord } from '../state/item-record.ts';
import { isOurs, managedFieldsOf } from '../drift/field-set.ts';
import { leaseName } from '../lease/agent-identity.ts';
import { ApplyError } from './apply-problem.ts';
import {
  type ApplySet,
  type ApplySetMemory,
  applySetParent,
  partOf,
  readApplySetParent,
} from './apply-set.ts';
import { partOfLabel } from '../release/plan-release.ts';
import { ensureNamespace } from './release-applier.ts';

/** Longer than a Lease of an agent lasts without being renewed. */
const leaseOverMs = 90_000;
const leaseLookMs = 5_000;

/** The parent of one application's ApplySet as it is in the cluster. */
export class ApplySetParent {
  readonly #site: SiteCluster;
  readonly #set: ApplySet;
  readonly #ref: ObjectRef;

  constructor(site: SiteCluster, set: ApplySet) {
    this.#site = site;
    this.#set = set;
    this.#ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: set.namespace, name: set.name };
  }

  async read(signal: AbortSignal): Promise<ApplySetMemory | undefined> {
    const live = await this.#site.cluster.find(this.#ref, { metadata: true, signal });
    return live && readApplySetParent(live);
  }

  /**
   * Throws unless this site may use it: nobody has it, or an application of this site, or the same application of a site whose agent is
   * gone (it was made anew).
   */
  async assertFree(itemUid: string, signal: AbortSignal): Promise<void> {
    const memory = await this.read(signal);
    if (memory === undefined || (await this.isOfThisSite(memory, itemUid, signal))) return;
    throw new ApplyError(
      'OwnedByAnother',
      `another site has an application of this name in this cluster (ConfigMap ${this.#set.namespace}/${this.#set.name}); remove it there, stop its agent, or give this agent another namespace`,
      { isLasting: true },
    );
  }

  /** Two sites can be in one cluster: while the other one's agent keeps its Lease, what it has is its own. */
  async isOfThisSite(memory: ApplySetMemory, itemUid: string, signal: AbortSignal): Promise<boolean> {
    const { site, cluster, namespace, clock } = this.#site;
    if (memory.siteUid === site.uid) return true;
    if (memory.uid !== itemUid) return false;
    const name = leaseName(memory.siteUid);
    const ref = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name };
    // Whose clock is right nobody knows: a Lease is over when it is not renewed while one looks at it.
    const until = clock.now().getTime() + leaseOverMs;
    let seen: string | undefined;
    while (!signal.aborted && clock.now().getTime() < until) {
      const { holderIdentity, renewTime } = leaseSpec(await cluster.find(ref, { signal }));
      if (!holderIdentity || renewTime === undefined) return true;
      if (seen !== undefined && seen !== renewTime) return false;
      seen = renewTime;
      await clock.sleep(leaseLookMs, signal);
    }
    return !signal.aborted;
  }

  /** Says that `members` may be in the cluster from now on. */
  async write(record: ItemRecord, members: readonly ObjectRef[], signal: AbortSignal): Promise<void> {
    const { cluster, site } = this.#site;
    const { item } = record.active ?? {};
    const memory = {
      itemId: record.id,
      uid: record.uid,
      siteUid: site.uid,
      release: item?.release ?? '',
      digest: item?.digest ?? '',
      activatedTime: record.activatedTime,
      succeeded: record.succeeded,
    };
    const object = applySetParent(this.#set, memory, members);
    await ensureNamespace({ cluster, signal }, this.#set.namespace);
    await cluster.apply(this.#ref, object, { force: true, signal });
  }

  async remove(signal: AbortSignal): Promise<void> {
    const { cluster } = this.#site;
    const live = await cluster.find(this.#ref, { metadata: true, signal });
    if (live !== undefined) await cluster.delete(this.#ref, live, signal);
  }

  /** Every object in the cluster that we applied as a member of the set, of the kinds that the parent names. */
  async members({ groupKinds }: ApplySetMemory, signal: AbortSignal): Promise<ObjectRef[]> {
    const { cluster } = this.#site;
    const found: ObjectRef[] = [];
    for (const groupKind of groupKinds) {
      const resource = await cluster.findGroupKind(groupKind);
      if (resource === undefined) continue;
      const labelSelector = `${partOfLabel}=${this.#set.id}`;
      try {
        for await (const object of cluster.list(resource, { labelSelector, signal })) {
          if (isMember(object, this.#set.id)) found.push(refOfObject(object));
        }
      } catch (error) {
        // The kind went between two requests.
        if (!isNotFound(error)) throw error;
      }
    }
    return found;
  }
}

function leaseSpec(lease: KubeObject | undefined): { holderIdentity?: string; renewTime?: string } {
  return lease?.['spec'] ?? {};
}

/**
 * Controllers copy the labels of an object to what they make for it (Endpoints of a Service, certificates of an Ingress): a member is only
 * what we applied ourselves.
 */
function isMember(object: KubeObject, applySetId: string): boolean {
  const isMade = (object.metadata.ownerReferences ?? []).some(({ controller }) => controller === true);
  return partOf(object) === applySetId && !isMade && managedFieldsOf(object).some(isOurs);
}

function refOfObject({ apiVersion, kind, metadata }: KubeObject): ObjectRef {
  const { name, namespace } = metadata;
  return { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) };
}
