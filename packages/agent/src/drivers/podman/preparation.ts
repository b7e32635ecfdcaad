import type { ItemReport } from '@selvedge/api';
import type { DriverItem } from '../driver.ts';
import { normalizeImage } from './container-spec.ts';
import type { DesiredApp } from './desired-app.ts';
import { type ItemRecord, type PreparedRelease, refOf, releaseKey } from './item-record.ts';
import { checkHostPaths, checkUsers } from './pod-checks.ts';
import { HostPortError } from './services/host-ports.ts';
import { ServiceNameTakenError } from './services/service-pods.ts';
import { prepareTask, type SiteRuntime, type SiteView } from './site-runtime.ts';

/** Releases of which it is remembered what was prepared for them. */
const keptReleases = 6;
/** What was prepared may be undone by hand: it is looked at again this often. */
const recheckMs = 20_000;
/** Bytes that arrive are reported this often. */
const tellMs = 5_000;

type Progress = NonNullable<ItemReport['progress']>;

/**
 * Prepares the release that an item is to have next: its ports and names can be had, its pods could start, its images are
 * here. Touches nothing of what runs. What passed is kept in the item's record, and checked again before it counts.
 */
export class Preparation {
  readonly #record: ItemRecord;
  readonly #runtime: SiteRuntime;
  #superseded = new AbortController();
  /** Key of the release that is being prepared, and whether something may be fetched for it. */
  #current: { readonly key: string; readonly mayFetch: boolean } | undefined;
  #progress: Progress | undefined;
  /** When progress was last worth a look (ms). */
  #toldAt = 0;
  #checked: { readonly key: string; readonly at: number; readonly changes: number } | undefined;

  constructor(record: ItemRecord, runtime: SiteRuntime) {
    this.#record = record;
    this.#runtime = runtime;
  }

  /** When to look again although nothing happens (ms). */
  get recheckAt(): number {
    return this.#checked === undefined ? Number.POSITIVE_INFINITY : this.#checked.at + recheckMs;
  }

  /** Breaks off what is being done for a release that is not wanted any more. */
  cancel(): void {
    this.#superseded.abort();
    this.#current = undefined;
    this.#checked = undefined;
    this.#progress = undefined;
  }

  /** Goes on as far as that is possible now. @returns whether the release is prepared, at this very moment. */
  async act(wanted: DriverItem, app: DesiredApp, view: SiteView): Promise<boolean> {
    const key = releaseKey(refOf(wanted));
    const isOther = this.#current !== undefined && this.#current.key !== key;
    // Its window has closed: what has not arrived yet may not use the line any more.
    const isShut = this.#current?.mayFetch === true && !wanted.mayFetch;
    if (isOther || isShut) this.cancel();
    this.#current = { key, mayFetch: wanted.mayFetch };
    const prepared = this.find(key);
    if (prepared && (await this.#stillHolds(prepared, { wanted, app, view }))) return true;
    if (prepared) this.#remember({ ...prepared, holds: false });
    this.#runtime.tasks.begin(prepareTask(this.#record.uid), () => this.#prepare({ wanted, app, view }));
    return false;
  }

  /** What was prepared for a release, as far as it is known to be here still. */
  find(key: string): PreparedRelease | undefined {
    return this.#record.prepared?.find((one) => one.key === key && one.holds);
  }

  /** The image that a release was prepared with, also when its name leads to another one by now. */
  async imageFor(digest: string | undefined, image: string): Promise<string> {
    const { images: store } = this.#runtime;
    const name = normalizeImage(image);
    const prepared = this.#record.prepared?.find((one) => one.digest === digest);
    const known = prepared?.images.find((one) => one.name === name);
    if (!known || (await store.find(name))?.id === known.id) return image;
    return (await store.has(known.id)) ? known.id : image;
  }

  /** How far it is with a release that is not active. */
  progressOf(key: string): Progress | undefined {
    const images = this.find(key)?.images;
    if (!images) return this.#current?.key === key ? this.#progress : undefined;
    const bytes = images.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return { done: images.length, total: images.length, doneBytes: bytes, totalBytes: bytes };
  }

  async #stillHolds(
    { key, images }: PreparedRelease,
    { wanted, app, view }: { wanted: DriverItem; app: DesiredApp; view: SiteView },
  ): Promise<boolean> {
    const { images: store, services } = this.#runtime;
    const changes = this.#runtime.imageChanges();
    const isFresh =
      this.#checked?.key === key && this.#checked.changes === changes && this.recheckAt > view.now;
    if (isFresh && !wanted.mayActivate) return true;
    for (const { name, id } of images) if (!(await store.has(name)) && !(await store.has(id))) return false;
    try {
      await services.assertAvailable(app.services, wanted.item, view.pods);
    } catch (error) {
      if (error instanceof HostPortError || error instanceof ServiceNameTakenError) return false;
      throw error;
    }
    this.#checked = { key, at: view.now, changes };
    return true;
  }

  async #prepare({
    wanted,
    app,
    view,
  }: {
    wanted: DriverItem;
    app: DesiredApp;
    view: SiteView;
  }): Promise<void> {
    const { images, services, signal } = this.#runtime;
    const key = releaseKey(refOf(wanted));
    const { digest } = wanted.item;
    const superseded = new AbortController();
    this.#superseded = superseded;
    const before = this.#record.prepared?.filter((one) => one.digest === digest) ?? [];
    const known = new Set(before.flatMap((one) => one.images.map((image) => image.name)));
    const until = AbortSignal.any([signal, superseded.signal]);
    try {
      // Cheap questions first; images may take hours.
      await services.assertAvailable(app.services, wanted.item, view.pods);
      await checkHostPaths(app);
      const here = await images.gather(app, {
        mayFetch: wanted.mayFetch,
        isSettled: (name) => known.has(name),
        onProgress: (progress) => this.#noteProgress(key, progress),
        signal: until,
      });
      if (!here || until.aborted) return;
      checkUsers(app, here);
      this.#remember({ key, digest, images: here, holds: true });
    } catch (error) {
      // What became of a release that nobody wants any more does not matter.
      if (!until.aborted) throw error;
    }
  }

  #noteProgress(key: string, progress: Progress): void {
    if (this.#current?.key !== key) return;
    const isStep = this.#progress?.done !== progress.done;
    this.#progress = progress;
    const now = this.#runtime.clock.now().getTime();
    if (!isStep && Math.abs(now - this.#toldAt) < tellMs) return;
    this.#toldAt = now;
    this.#runtime.wakeUp();
  }

  #remember(prepared: PreparedRelease): void {
    const { active } = this.#record;
    const activeKey = active && releaseKey(active);
    const others = this.#record.prepared?.filter((one) => one.key !== prepared.key) ?? [];
    const ofActive = others.filter((one) => one.key === activeKey);
    const rest = others.filter((one) => one.key !== activeKey);
    this.#record.prepared = [prepared, ...ofActive, ...rest].slice(0, keptReleases);
  }
}
