import type { DriverReport, RemovalOrder } from '../driver.ts';
import { ApplySetParent } from './apply/apply-set-parent.ts';
import { applySetOf } from './apply/apply-set.ts';
import { problemOf, shownRef } from './apply/apply-problem.ts';
import { findClaims } from './apply/claims.ts';
import { waitForPods } from './apply/ending-pods.ts';
import { Pruner } from './apply/pruner.ts';
import { applicationOf } from '../resolve-for-site.ts';
import { type ObjectRef, refKey } from './release/planned-object.ts';
import { missingRefs, unitedRefs } from './release/release-difference.ts';
import { removeTask, type SiteCluster } from './site-cluster.ts';
import type { ItemRecord } from './state/item-record.ts';

interface OpenOrder {
  readonly order: RemovalOrder;
  readonly cancelled: AbortController;
  sinceTime: string;
  outcome?: Pick<DriverReport, 'reason' | 'message'>;
}

type Report = Omit<DriverReport, 'observedTime'>;

/**
 * Carries out removal orders: every member of the ApplySet goes, workloads before what they need; data only when the order says so.
 * What stays loses our label.
 */
export class Removals {
  readonly #orders = new Map<string, OpenOrder>();
  readonly #site: SiteCluster;
  /** Records of removals that have begun, and of items that are kept. */
  readonly #recordOf: (uid: string) => ItemRecord | undefined;
  readonly #othersOf: (order: RemovalOrder) => readonly ItemRecord[];

  constructor(
    site: SiteCluster,
    options: {
      recordOf: (uid: string) => ItemRecord | undefined;
      othersOf: (order: RemovalOrder) => readonly ItemRecord[];
    },
  ) {
    this.#site = site;
    this.#recordOf = options.recordOf;
    this.#othersOf = options.othersOf;
  }

  add(order: RemovalOrder): void {
    const before = this.#orders.get(order.uid);
    if (before && before.order.epoch >= order.epoch && before.outcome === undefined) return;
    before?.cancelled.abort();
    this.#orders.set(order.uid, {
      order,
      cancelled: new AbortController(),
      sinceTime: this.#site.clock.now().toISOString(),
    });
  }

  /** An item that is wanted again after the order. */
  cancel(uid: string, epoch: number): void {
    const found = this.#orders.get(uid);
    if (found === undefined || found.order.epoch >= epoch) return;
    found.cancelled.abort();
    this.#orders.delete(uid);
  }

  has(uid: string): boolean {
    return this.#orders.has(uid);
  }

  /** Something of the same name is still to be removed. */
  isRemovingId(id: string): boolean {
    return [...this.#orders.values()].some(({ order, outcome }) => order.id === id && outcome === undefined);
  }

  /** Begins what is to be done. */
  act(): void {
    for (const entry of this.#orders.values()) {
      if (entry.outcome !== undefined) continue;
      this.#site.tasks.begin(removeTask(entry.order.uid), () => this.#carryOut(entry));
    }
  }

  reports(problem: Pick<Report, 'reason' | 'message'> | undefined): Report[] {
    return [...this.#orders.values()].map(({ order, sinceTime, outcome }) => {
      const { id, uid, epoch } = order;
      const said = { id, uid, epoch, release: '', digest: '', sinceTime };
      if (outcome !== undefined) return { ...said, state: 'Removed', ...outcome };
      const failure = this.#site.tasks.failureOf(removeTask(uid));
      const why = problem ?? (failure && problemOf(failure.error));
      const { reason, message } = why ?? {};
      return {
        ...said,
        state: 'Removing',
        ...(reason === undefined ? {} : { reason }),
        ...(message === undefined ? {} : { message }),
      };
    });
  }

  async #carryOut(entry: OpenOrder): Promise<void> {
    const { order } = entry;
    const { clock, logger, records } = this.#site;
    const signal = AbortSignal.any([this.#site.signal, entry.cancelled.signal]);
    const outcome = await this.#remove(order, signal);
    if (signal.aborted) return;
    await records.remove(order.uid);
    entry.outcome = outcome;
    entry.sinceTime = clock.now().toISOString();
    logger.info('item removed', { item: order.id, mode: order.mode });
  }

  async #remove(order: RemovalOrder, signal: AbortSignal): Promise<Pick<Report, 'reason' | 'message'>> {
    const { id, uid, mode } = order;
    const site = this.#site;
    const set = applySetOf(id, site.namespace);
    const parent = new ApplySetParent(site, set);
    const memory = await parent.read(signal);
    if (memory !== undefined && !(await parent.isOfThisSite(memory, uid, signal))) {
      const message = 'nothing was removed: another site has taken the application over in this cluster';
      return { reason: 'TakenOver', message };
    }
    const isOurs = memory?.uid === uid;
    const listed = isOurs ? await parent.members(memory, signal) : [];
    const record = this.#recordOf(uid);
    // What an application of the same name has taken over is not this one's any more.
    const taken = this.#othersOf(order).flatMap(({ members }) => members);
    const members = missingRefs(unitedRefs(listed, record?.members ?? []), taken);
    if (signal.aborted) return {};
    const { cluster, clock } = site;
    const { namespace } = applicationOf(id);
    const pruner = new Pruner({ cluster, clock, set, itemUid: uid, namespace, signal });
    if (mode === 'Orphan') {
      const left = await pruner.letGo(members);
      if (signal.aborted) return {};
      if (isOurs) await parent.remove(signal);
      const list = left.length === 0 ? 'nothing of it was here' : `left as they are: ${shownList(left)}`;
      return { reason: 'Orphaned', message: `${list}; nobody looks after them any more` };
    }
    const claims = await this.#rememberClaims(order, { record, members }, signal);
    const withVolumes = mode === 'DeleteVolumes';
    const kept = await pruner.prune(members, { withVolumes, claims, isAwaited: true });
    if (signal.aborted) return {};
    const ofSets = missingRefs(claims, members);
    if (withVolumes) await this.#deleteClaims(ofSets, signal);
    const namespaces = [
      namespace,
      ...(memory?.namespaces ?? []),
      ...members.flatMap((ref) => ref.namespace ?? []),
    ];
    await waitForPods(site, id, { namespaces, hasHeirs: taken.length > 0, signal });
    if (signal.aborted) return {};
    if (isOurs) await parent.remove(signal);
    const data = withVolumes ? [] : await this.#existing(claims, namespace, signal);
    const others = kept.filter((shown) => !data.includes(shown));
    if (data.length === 0 && others.length === 0) return {};
    const also = others.length === 0 ? '' : `; kept, as others use them: ${shownList(others)}`;
    if (data.length === 0) return { reason: 'ObjectsKept', message: also.slice(2) };
    return { reason: 'VolumesKept', message: `data kept in ${shownList(data)}${also}` };
  }

  /** Once the StatefulSets are gone nobody can tell which claims were theirs. */
  async #rememberClaims(
    { id, uid }: RemovalOrder,
    { record, members }: { record: ItemRecord | undefined; members: readonly ObjectRef[] },
    signal: AbortSignal,
  ): Promise<readonly ObjectRef[]> {
    const found = await findClaims(this.#site, members, signal);
    const claims = unitedRefs(record?.claims ?? [], found);
    if (claims.length === (record?.claims?.length ?? 0)) return claims;
    const next: ItemRecord = { ...(record ?? { id, uid, hasSucceeded: false, members }), claims };
    if (record !== undefined) record.claims = claims;
    await this.#site.records.save(next);
    return claims;
  }

  async #deleteClaims(claims: readonly ObjectRef[], signal: AbortSignal): Promise<void> {
    const { cluster } = this.#site;
    for (const ref of claims) {
      const live = await cluster.find(ref, { metadata: true, signal });
      if (live !== undefined && live.metadata.deletionTimestamp === undefined) {
        await cluster.delete(ref, live, signal);
      }
    }
  }

  async #existing(refs: readonly ObjectRef[], namespace: string, signal: AbortSignal): Promise<string[]> {
    const found = new Set<string>();
    for (const ref of new Map(refs.map((one) => [refKey(one), one])).values()) {
      if ((await this.#site.cluster.find(ref, { metadata: true, signal })) !== undefined) {
        found.add(shownRef(ref, namespace));
      }
    }
    return [...found].sort();
  }
}

/** As many names as a message bears. */
function shownList(names: readonly string[]): string {
  const more = names.length - 20;
  return names.slice(0, 20).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
