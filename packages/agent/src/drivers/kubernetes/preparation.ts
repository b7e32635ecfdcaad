import type { ItemReport } from '@selvedge/api';
import type { DriverItem } from '../driver.ts';
import type { Refusal } from '../item-state.ts';
import { ApplyError, heldByAnother } from './apply/apply-problem.ts';
import type { ApplySetParent } from './apply/apply-set-parent.ts';
import type { ApplySet } from './apply/apply-set.ts';
import { AppliedObjects } from './apply/applied-objects.ts';
import { tryRelease } from './apply/release-trial.ts';
import { applicationOf } from '../resolve-for-site.ts';
import { pullSecretName } from './release/pull-secrets.ts';
import type { Plan, ReleasePlans } from './release/release-plans.ts';
import type { ReleaseImagesOptions } from './release-images.ts';
import { imagesTask, prepareTask, type SiteCluster } from './site-cluster.ts';
import { applyRulesFor, type ItemRecord, refOf, releaseKey } from './state/item-record.ts';

/** Releases of which it is remembered that they passed. */
const keptReleases = 6;
/** What a kind that nobody knows is waited for: another application may bring it. */
const unknownKindMs = 120_000;
/** A refusal may be cured at the site: a permission, an object in the way. */
const refusedRetryMs = 60_000;
/** Names in one line of the log. */
const shownUntried = 20;
/** Bytes that arrive are reported this often. */
const tellMs = 5_000;

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
  /** Key of the release that the cluster would accept: what is left to do is to bring its images. */
  #triedKey: string | undefined;
  /** Its images are being fetched, or wait until they may be. */
  #images: 'Fetching' | 'Waiting' | undefined;
  /** When progress was last worth a look (ms). */
  #toldAt = 0;
  /** Images of the release in force that the depot may lack. */
  #background: { readonly plan: Plan; readonly mayFetch: boolean } | undefined;

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
    this.#triedKey = undefined;
    this.#images = undefined;
  }

  /** What was refused is tried again now: somebody asks for it anew. */
  retry(): void {
    this.#refused = undefined;
  }

  /** Goes on. @returns the plan of the release, when it is prepared. */
  act(wanted: DriverItem): Plan | undefined {
    const { record, site, plans } = this.#o;
    const now = site.clock.now().getTime();
    const key = releaseKey(refOf(wanted, record));
    if (this.#key !== key) {
      this.cancel();
      this.#key = key;
      this.#since = now;
      this.#superseded = new AbortController();
    }
    const plan = plans.planOf(refOf(wanted, record));
    if (plan !== undefined && record.prepared?.includes(key)) return plan;
    if (this.#refused !== undefined && now < this.recheckAt) return undefined;
    if (!this.#mayGoOn(wanted)) return undefined;
    const { signal } = this.#superseded;
    site.tasks.begin(prepareTask(record.uid), () => this.#prepare(wanted, signal));
    return undefined;
  }

  /** Its window has closed: what has not arrived yet may not use the line any more. */
  #mayGoOn({ mayFetch }: DriverItem): boolean {
    if (mayFetch || this.#images === undefined) return true;
    if (this.#images === 'Fetching') {
      this.#superseded.abort();
      this.#superseded = new AbortController();
      this.#images = 'Waiting';
    }
    return false;
  }

  async #prepare(wanted: DriverItem, superseded: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([this.#o.site.signal, superseded]);
    try {
      const refusal = await this.#findRefusal(wanted, signal);
      if (signal.aborted) return;
      if (refusal === undefined && !(await this.#haveImages(wanted, signal))) return;
      const now = this.#o.site.clock.now().getTime();
      this.#refused = refusal === undefined ? undefined : { refusal, at: now };
      if (refusal !== undefined) return;
      const { record, site } = this.#o;
      this.#remember(releaseKey(refOf(wanted, record)));
      site.logger.info('release prepared', { item: record.id, release: wanted.item.release });
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
    if (record.prepared?.includes(plan.key) || this.#triedKey === plan.key) return undefined;
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
    this.#triedKey = plan.key;
    const { release } = wanted.item;
    site.logger.info('the cluster would accept a release', {
      item: record.id,
      release,
      objects: total,
      ...(untried.length === 0 ? {} : { untried: untried.slice(0, shownUntried) }),
    });
    return undefined;
  }

  /** False: it waits until something may be fetched. */
  async #haveImages(wanted: DriverItem, signal: AbortSignal): Promise<boolean> {
    const { plans, record, site } = this.#o;
    const plan = plans.planOf(refOf(wanted, record));
    if (plan === undefined || site.depot === undefined || record.prepared?.includes(plan.key)) return true;
    if (record.active?.item.digest === wanted.item.digest) {
      // Its pods have run: other values of it do not wait for what the depot may lack.
      this.#background = { plan, mayFetch: wanted.mayFetch };
      this.bringInBackground();
      return true;
    }
    this.#images = 'Fetching';
    try {
      const areHere = await this.#bringImages(plan, {
        mayFetch: wanted.mayFetch,
        onProgress: (progress) => {
          if (!signal.aborted) this.#tell(progress);
        },
        signal,
      });
      if (signal.aborted) return false;
      this.#images = areHere ? undefined : 'Waiting';
      return areHere;
    } catch (error) {
      if (!signal.aborted) this.#images = undefined;
      throw error;
    }
  }

  /** Goes on with images that nothing waits for. */
  bringInBackground(): void {
    const { record, site } = this.#o;
    const wish = this.#background;
    if (wish === undefined) return;
    site.tasks.begin(imagesTask(record.uid), async () => {
      const { plan, mayFetch } = wish;
      await this.#bringImages(plan, { mayFetch, onProgress: () => {}, signal: site.signal });
      if (this.#background === wish) this.#background = undefined;
    });
  }

  async #bringImages(
    { objects }: Plan,
    how: Pick<ReleaseImagesOptions, 'mayFetch' | 'onProgress' | 'signal'>,
  ): Promise<boolean> {
    const { record, site } = this.#o;
    const { depot, logger } = site;
    if (depot === undefined) return true;
    const { namespace, name } = applicationOf(record.id);
    // Only those that have to be fetched need the code for it.
    const { bringImages } = await import('./release-images.ts');
    return await bringImages(
      objects.map(({ object }) => object),
      {
        ...how,
        depot,
        logger,
        namespace,
        pullSecret: pullSecretName(name),
        architectures: await site.architectures(how.signal),
      },
    );
  }

  #tell(progress: Progress): void {
    const { site } = this.#o;
    const isStep = this.#progress?.done !== progress.done;
    this.#progress = progress;
    const now = site.clock.now().getTime();
    if (!isStep && Math.abs(now - this.#toldAt) < tellMs) return;
    this.#toldAt = now;
    site.wakeUp();
  }

  async #plan(wanted: DriverItem): Promise<Plan | Refusal | undefined> {
    const { plans, record, site } = this.#o;
    const ref = refOf(wanted, record);
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
    const { secrets, logins } = wanted;
    const made = await plans.make({ ...ref, secrets, logins }, content);
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
