import type { Depot, DepotImage, DepotLayer, DepotRequest } from './depot.ts';
import { toDepotError } from './depot-error.ts';
import { NeededImages } from './needed-images.ts';
import type { DepotSurroundings, SiteDepot, SiteDepotOptions } from './site-depot.ts';

export type LazyDepotOptions = Omit<SiteDepotOptions, 'surroundings' | 'needed'>;

/** The depot, loaded and opened when it is first used; a folder that cannot be used now is tried again with the next use. */
export class LazyDepot implements Depot {
  readonly #options: LazyDepotOptions;
  #surroundings: DepotSurroundings | undefined;
  #opening: Promise<SiteDepot> | undefined;
  #needed: Promise<NeededImages> | undefined;
  #isClosed = false;

  constructor(options: LazyDepotOptions) {
    this.#options = options;
  }

  /** Who it works for, once that is known; until then it has what is on its disk. */
  bind(surroundings: DepotSurroundings): void {
    this.#surroundings = surroundings;
  }

  /** Opened now, when it serves others than this machine. Never throws. */
  async start(): Promise<void> {
    if (this.#options.listen === undefined) return;
    await this.#open().catch((error: unknown) => {
      this.#options.logger.error('the depot cannot be opened; it is tried again when it is needed', {
        error,
      });
    });
  }

  async ensure(image: string, request: DepotRequest): Promise<DepotImage | undefined> {
    return await (await this.#open()).ensure(image, request);
  }

  async find(image: string): Promise<DepotImage | undefined> {
    return await (await this.#open()).find(image);
  }

  async findLayers(image: string): Promise<readonly DepotLayer[] | undefined> {
    return await (await this.#open()).findLayers(image);
  }

  /** Needs only its own file: a site that fetches nothing does without the rest. */
  async setNeeded(holder: string, images: readonly string[]): Promise<void> {
    await (await this.#loadNeeded()).set(holder, images);
  }

  async needed(): Promise<ReadonlyMap<string, readonly string[]>> {
    return (await this.#loadNeeded()).byHolder;
  }

  async doubt(image: string): Promise<boolean> {
    return await (await this.#open()).doubt(image);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const depot = await this.#opening?.catch(() => undefined);
    await depot?.close();
  }

  async #open(): Promise<SiteDepot> {
    if (this.#isClosed) throw toDepotError(new Error('it is closed'), 'the depot');
    this.#opening ??= this.#load();
    try {
      return await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw toDepotError(error, `the depot in ${this.#options.directory} cannot be used`);
    }
  }

  async #loadNeeded(): Promise<NeededImages> {
    this.#needed ??= (async () => {
      const needed = new NeededImages(this.#options.directory);
      await needed.load();
      return needed;
    })();
    try {
      return await this.#needed;
    } catch (error) {
      this.#needed = undefined;
      throw error;
    }
  }

  async #load(): Promise<SiteDepot> {
    const needed = await this.#loadNeeded();
    const { SiteDepot: Loaded } = await import('./site-depot.ts');
    return await Loaded.open({
      ...this.#options,
      needed,
      surroundings: {
        policy: () => this.#surroundings?.policy() ?? {},
        hubRegistries: () => this.#surroundings?.hubRegistries() ?? [],
        openAtHub: async (path, options) => {
          if (this.#surroundings === undefined) throw new Error('the hub cannot be asked yet');
          return await this.#surroundings.openAtHub(path, options);
        },
        logins: { find: async (request) => await this.#surroundings?.logins.find(request) },
      },
    });
  }
}
