import {
  canonicalJson,
  type KubeObject,
  type Logger,
  mapImages,
  type ReleaseName,
  resolveRelease,
  type VariableValue,
} from '@selvedge/api';
import type { Depot } from './depot.ts';

/** What an item of this site may have to run. */
export interface ItemNeeds {
  readonly id: string;
  readonly uid: string;
  /** What runs, and what it goes back to. */
  readonly releases: readonly ReleaseName[];
  /**
   * What runs does so with these values. Until then it may run with those of before, whose images stay needed.
   */
  readonly isSettled: boolean;
  /** What comes next. Its content may not have arrived yet. */
  readonly next?: ReleaseName | undefined;
  readonly variables: Readonly<Record<string, VariableValue>>;
  readonly labels: Readonly<Record<string, string>>;
}

export interface DepotNeedsOptions {
  readonly depot: Depot;
  readonly siteName: string;
  /** Content by digest, from this machine only. */
  readonly findContent: (digest: string) => readonly KubeObject[] | undefined;
  readonly hasContent: (digest: string) => boolean;
  /** Milliseconds that never jump. */
  readonly monotonicMs: () => number;
  readonly logger: Logger;
}

/** Tells the depot which images each item needs, whenever that changes. */
export class DepotNeeds {
  readonly #o: DepotNeedsOptions;
  /** What the depot was told, by holder. */
  readonly #told = new Map<string, string>();
  /** Images of what ran then, with values of then. */
  readonly #running = new Map<string, readonly string[]>();
  #latest: readonly ItemNeeds[] | undefined;
  #work: Promise<void> = Promise.resolve();
  #isBusy = false;
  #failedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: DepotNeedsOptions) {
    this.#o = options;
  }

  /** All items of the site. Cheap when nothing has changed; an item that is missing here needs nothing any more. */
  note(items: readonly ItemNeeds[]): void {
    this.#latest = items;
    // A folder that cannot be used is not tried at every report.
    if (this.#isBusy || this.#o.monotonicMs() - this.#failedAtMs < retryMs) return;
    this.#isBusy = true;
    this.#work = this.#tellAll().finally(() => {
      this.#isBusy = false;
    });
  }

  /** Resolves when the depot knows what was noted. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async #tellAll(): Promise<void> {
    while (this.#latest !== undefined) {
      const items = this.#latest;
      this.#latest = undefined;
      try {
        await this.#tell(items);
      } catch (error) {
        // It is tried again with what is noted later; until then the depot keeps what it was told.
        this.#failedAtMs = this.#o.monotonicMs();
        this.#o.logger.warn('the depot could not be told what is needed', { error });
      }
    }
  }

  async #tell(items: readonly ItemNeeds[]): Promise<void> {
    const { depot } = this.#o;
    const holders = new Set(items.map(holderOf));
    if (this.#told.size === 0) {
      for (const [holder, images] of await depot.needed()) {
        if (!isItem(holder)) continue;
        this.#told.set(holder, '');
        this.#running.set(holder, images);
      }
    }
    for (const item of items) {
      const holder = holderOf(item);
      const areHere = [...item.releases, ...(item.next ? [item.next] : [])].map(({ digest }) =>
        this.#o.hasContent(digest),
      );
      const key = canonicalJson([JSON.stringify(item), areHere]);
      if (this.#told.get(holder) === key) continue;
      const found = this.#imagesOf(item);
      // Content that was lost comes again: until then what was needed stays so.
      if (found === undefined) continue;
      const former = item.isSettled ? [] : (this.#running.get(holder) ?? []);
      const running = [...new Set([...found.running, ...former])];
      await depot.setNeeded(holder, [...new Set([...running, ...found.next])].sort());
      this.#told.set(holder, key);
      this.#running.set(holder, running);
    }
    for (const holder of this.#told.keys()) {
      if (holders.has(holder)) continue;
      await depot.setNeeded(holder, []);
      this.#told.delete(holder);
      this.#running.delete(holder);
    }
  }

  /** Undefined: the content of something that runs is not here, or the values of the site do not go with it any more. */
  #imagesOf({
    next,
    ...item
  }: ItemNeeds): { readonly running: readonly string[]; readonly next: readonly string[] } | undefined {
    const running = item.releases.map((release) => this.#imagesIn(release, item));
    if (running.includes(undefined)) return undefined;
    // What has not arrived, or the site refuses, it does not run.
    const ofNext = next && this.#imagesIn(next, item);
    return { running: running.flatMap((images) => images ?? []), next: ofNext ?? [] };
  }

  #imagesIn(
    { release, digest }: ReleaseName,
    { id, variables, labels }: Pick<ItemNeeds, 'id' | 'variables' | 'labels'>,
  ): readonly string[] | undefined {
    const [, namespace = '', application = ''] = id.split('/');
    const content = this.#o.findContent(digest);
    if (content === undefined) return undefined;
    const site = { name: this.#o.siteName, labels, variables };
    const resolved = resolveRelease(content, site, { release, application, namespace });
    if (!('manifests' in resolved)) return undefined;
    const images: string[] = [];
    mapImages(resolved.manifests, (image) => {
      images.push(image);
      return image;
    });
    return images;
  }
}

const retryMs = 30_000;

/** The others, as the rack, say themselves what they need. */
function isItem(holder: string): boolean {
  return holder.includes(' ');
}

function holderOf({ id, uid }: ItemNeeds): string {
  return `${id} ${uid}`;
}
