import { heldByAnother } from './apply/apply-problem.ts';
import { ApplySetParent } from './apply/apply-set-parent.ts';
import { AppliedObjects } from './apply/applied-objects.ts';
import type { ApplySet } from './apply/apply-set.ts';
import type { ApplyContext } from './apply/object-applier.ts';
import { Pruner } from './apply/pruner.ts';
import { ReleaseApplier } from './apply/release-applier.ts';
import { applicationOf } from '../resolve-for-site.ts';
import { type ObjectRef, refKey } from './release/planned-object.ts';
import { missingRefs, unitedRefs } from './release/release-difference.ts';
import type { Plan } from './release/release-plans.ts';
import type { SiteCluster } from './site-cluster.ts';
import { applyRulesFor, type ItemRecord } from './state/item-record.ts';

/**
 * Brings the cluster to the active release of one item: what may be there is written down first, then applied, then what the release has
 * no more is pruned. Begun again after a crash it does the same once more, which changes nothing that was done.
 */
export class Activation {
  readonly #record: ItemRecord;
  readonly #site: SiteCluster;
  readonly #parent: ApplySetParent;
  readonly #set: ApplySet;
  readonly #applied: AppliedObjects;
  #superseded = new AbortController();
  #applier: { readonly key: string; readonly applier: ReleaseApplier } | undefined;

  constructor(record: ItemRecord, site: SiteCluster, set: ApplySet) {
    this.#record = record;
    this.#site = site;
    this.#set = set;
    this.#parent = new ApplySetParent(site, set);
    this.#applied = new AppliedObjects(record.applied);
  }

  /** Breaks off between two objects. */
  cancel(): void {
    this.#superseded.abort();
    this.#superseded = new AbortController();
    this.#applier = undefined;
  }

  /** Throws what keeps it from being complete. Call again to go on. */
  async carryOut(plan: Plan): Promise<void> {
    const record = this.#record;
    const { records, observer, logger } = this.#site;
    const signal = AbortSignal.any([this.#site.signal, this.#superseded.signal]);
    const refs = plan.objects.map(({ ref }) => ref);
    const holder = this.#site.findHolder(record, refs);
    if (holder !== undefined) throw heldByAnother(holder, applicationOf(record.id).namespace);
    record.members = unitedRefs(record.members, refs);
    delete record.applied;
    if (plan.rules.apply?.onImmutableChange === 'Replace') record.isReplacing = true;
    // From now on it is not whole until it was seen to be so again.
    if (record.succeeded === plan.key) {
      delete record.succeeded;
      delete record.toldSucceeded;
    }
    await records.save(record);
    await this.#parent.assertFree(record.uid, signal);
    await this.#parent.write(record, record.members, signal);
    if (this.#applier?.key !== plan.key) {
      this.#applier = { key: plan.key, applier: new ReleaseApplier(plan, this.#context(plan, signal)) };
    }
    await this.#applier.applier.apply();
    if (signal.aborted) return;
    const gone = missingRefs(record.members, refs);
    if (gone.length > 0) {
      const pruner = new Pruner(this.#context(plan, signal));
      const kept = await pruner.prune(gone, { withVolumes: false, claims: [], isAwaited: false });
      if (signal.aborted) return;
      logger.info('pruned what the release has no more', { item: record.id, objects: gone.length, kept });
      await this.#parent.write(record, refs, signal);
    }
    if (signal.aborted) return;
    record.members = refs;
    record.applied = this.#applied.digests(refs);
    record.appliedKey = plan.key;
    record.appliedPlan = plan.planDigest;
    if (plan.pull === undefined) delete record.appliedPull;
    else record.appliedPull = plan.pull.digest;
    await records.save(record);
    this.#applier = undefined;
    observer.invalidate(record.uid);
    logger.info('release applied', { item: record.id, objects: refs.length });
  }

  /** Writes down in the cluster that the active release is healthy, for an agent that has lost its disk. */
  async tellSuccess(): Promise<void> {
    const record = this.#record;
    const { succeeded } = record;
    const signal = AbortSignal.any([this.#site.signal, this.#superseded.signal]);
    await this.#parent.write(record, record.members, signal);
    if (succeeded !== undefined) record.toldSucceeded = succeeded;
  }

  /** Applies objects that the release may not have had before. */
  async add(plan: Plan, refs: readonly ObjectRef[]): Promise<void> {
    const record = this.#record;
    const signal = AbortSignal.any([this.#site.signal, this.#superseded.signal]);
    if (missingRefs(refs, record.members).length > 0) {
      record.members = unitedRefs(record.members, refs);
      await this.#site.records.save(record);
      await this.#parent.write(record, record.members, signal);
    }
    await this.correct(plan, refs);
  }

  /** Applies some objects of the release again. */
  async correct(plan: Plan, refs: readonly ObjectRef[]): Promise<void> {
    const signal = AbortSignal.any([this.#site.signal, this.#superseded.signal]);
    const keys = new Set(refs.map(refKey));
    const objects = plan.objects.filter(({ ref }) => keys.has(refKey(ref)));
    for (const ref of refs) this.#applied.forget(ref);
    await new ReleaseApplier({ ...plan, objects }, this.#context(plan, signal)).apply();
    this.#record.applied = this.#applied.digests(this.#record.members);
    this.#site.observer.invalidate(this.#record.uid);
  }

  #context(plan: Plan, signal: AbortSignal): ApplyContext {
    const { cluster, clock } = this.#site;
    return {
      cluster,
      clock,
      set: this.#set,
      itemUid: this.#record.uid,
      namespace: applicationOf(this.#record.id).namespace,
      rules: applyRulesFor(plan.rules, this.#record),
      objects: plan.objects,
      applied: this.#applied,
      signal,
    };
  }
}
