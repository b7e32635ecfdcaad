import type { ItemReport } from '@selvedge/api';
import type { DriverItem } from '../driver.ts';
import type { Refusal } from '../item-state.ts';
import { ApplyError, heldByAnother } from './apply/apply-problem.ts';
import type { ApplySetParent } from './apply/apply-set-parent.ts';
import type { ApplySet } from './apply/apply-set.ts';
import { AppliedObjects } from './apply/applied-objects.ts';
import { tryRelease } from './apply/release-trial.ts';
import { applicationOf } from './release/plan-release.ts';
import type { Plan, ReleasePlans } from './release/release-plans.ts';
import { prepareTask, type SiteCluster } from './site-cluster.ts';
import { applyRulesFor, type ItemRecord, refOf, releaseKey } from './state/item-record.ts';

/** Releases of which it is remembered that they passed. */
const keptReleases = 6;
/** What a kind that nobody knows is waited for: another application may bring it. */
const unknownKindMs = 120_000;
/** A refusal may be cured at the site: a permission, an object in the way. */
const refusedRetryMs = 60_000;
/** Names in one line of the log. */
const shownUntried = 20;

export interface PreparationOptions {
  readonly record: ItemRecord;
  readonly site: SiteCluster;
  readonly plans: ReleasePlans;
  readonly parent: ApplySetParent;
  readonly set: ApplySet;
}

type Progress = NonNullable<ItemReport['progress']>;

/**
 * Tries whether the release that an item is to have next would be accepted, object by object. Changes nothing in the cluster, but for the application's own
 * namespace, which is made when it is missing.
 */
export class Preparation {
  readonly #o: PreparationOptions;
  #superseded = new AbortController();
  #key: string | undefined;
  #since = 0;
  #progress: Progress | undefined;
  #refused: { readonly refusal: Refusal; readonly at: number } | undefined;
  #contentError: string | undefined;
  #hasContent = false;

  constructor(options: PreparationOptions) {
    this.#o = options;
  }

  get contentError(): string | undefined {
    return this.#contentError;
  }

  /** The content of the wanted release was read. */
  get hasContent(): boolean {
    return this.#hasContent;
  }

  get refusal(): Refusal | undefined {
    return this.#refused?.refusal;
  }

  get progress(): Progress | undefined {
    return this.#progress;
  }

  /** When to look again although nothing happens (ms). */
  get recheckAt(): number {
    return this.#refused === undefined ? Number.POSITIVE_INFINITY : this.#refused.at + refusedRetryMs;
  }

  /** Breaks off what is being done for a release that is not wanted any more. */
  cancel(): void {
    this.#superseded.abort();
    this.#key = undefined;
    this.#progress = undefined;
    this.#refused = undefined;
    this.#contentError = undefined;
    this.#hasContent = false;
  }

  /** What was refused is tried again now: somebody asks for it anew. */
  retry(): void {
    this.#refused = undefined;
  }

  /** Goes on. @returns the plan of the release, when it is prepared. */
  act(wanted: DriverItem): Plan | undefined {
    const { record, site, plans } = this.#o;
    const now = site.clock.now().getTime();
    const key = releaseKey(refOf(wanted));
    if (this.#key !== key) {
      this.cancel();
      this.#key = key;
      this.#since = now;
      this.#superseded = new AbortController();
    }
    const plan = plans.planOf(refOf(wanted));
    if (plan !== undefined && record.prepared?.includes(key)) return plan;
    if (this.#refused !== undefined && now < this.recheckAt) return undefined;
    const { signal } = this.#superseded;
    site.tasks.begin(prepareTask(record.uid), () => this.#prepare(wanted, signal));
    return undefined;
  }

  async #prepare(wanted: DriverItem, superseded: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([this.#o.site.signal, superseded]);
    try {
      const refusal = await this.#findRefusal(wanted, signal);
      if (signal.aborted) return;
      const now = this.#o.site.clock.now().getTime();
      this.#refused = refusal === undefined ? undefined : { refusal, at: now };
      if (refusal === undefined) this.#remember(releaseKey(refOf(wanted)));
    } catch (error) {
      // What became of a release that nobody wants any more does not matter.
      if (signal.aborted) return;
      this.#refused = undefined;
      throw error;
    }
  }

  async #findRefusal(wanted: DriverItem, signal: AbortSignal): Promise<Refusal | undefined> {
    const plan = await this.#plan(wanted);
    if (plan === undefined || 'reason' in plan) return plan;
    const { record, site, parent, set } = this.#o;
    if (record.prepared?.includes(plan.key)) return undefined;
    const total = plan.objects.length;
    const { namespace } = applicationOf(record.id);
    const holder = site.findHolder(
      record,
      plan.objects.map(({ ref }) => ref),
    );
    if (holder !== undefined) {
      const { reason, message } = heldByAnother(holder, namespace);
      return { reason, message };
    }
    const { refusal, untried } = await tryRelease(
      plan,
      {
        cluster: site.cluster,
        clock: site.clock,
        set,
        itemUid: record.uid,
        namespace,
        rules: applyRulesFor(plan.rules, record),
        objects: plan.objects,
        applied: new AppliedObjects(record.applied),
        signal,
      },
      (done) => {
        if (!signal.aborted) this.#progress = { done, total };
      },
    );
    if (refusal !== undefined || signal.aborted) return refusal;
    try {
      await parent.assertFree(record.uid, signal);
    } catch (error) {
      if (error instanceof ApplyError && error.isLasting)
        return { reason: error.reason, message: error.message };
      throw error;
    }
    const { release } = wanted.item;
    site.logger.info('release prepared', {
      item: record.id,
      release,
      objects: total,
      ...(untried.length === 0 ? {} : { untried: untried.slice(0, shownUntried) }),
    });
    return undefined;
  }

  async #plan(wanted: DriverItem): Promise<Plan | Refusal | undefined> {
    const { plans, site } = this.#o;
    const ref = refOf(wanted);
    const known = plans.find(ref);
    if (known !== undefined) this.#hasContent = true;
    if (known !== undefined) return known.plan ?? known.refusal;
    let content: Awaited<ReturnType<DriverItem['manifests']>>;
    try {
      content = await wanted.manifests();
      this.#contentError = undefined;
      this.#hasContent = true;
    } catch (error) {
      this.#contentError = error instanceof Error ? error.message : String(error);
      throw error;
    }
    const made = await plans.make(ref, content);
    const [unknown] = made.plan?.unknownKinds ?? [];
    if (made.plan === undefined || unknown === undefined) return made.plan ?? made.refusal;
    const names = made.plan.unknownKinds.join(', ');
    const message = `the cluster does not know ${names}; another application may bring it, else install its definition or correct the manifest`;
    if (site.clock.now().getTime() - this.#since > unknownKindMs) return { reason: 'KindUnknown', message };
    throw new ApplyError('KindUnknown', message, { isLasting: false });
  }

  #remember(key: string): void {
    const { record } = this.#o;
    const others = (record.prepared ?? []).filter((one) => one !== key);
    record.prepared = [key, ...others].slice(0, keptReleases);
  }
}
