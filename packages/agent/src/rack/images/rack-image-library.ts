import {
  canonicalJson,
  type MachineArchitecture,
  type RackImage,
  type RackInspectionImage,
  type RackReport,
} from '@selvedge/api';
import { ArtifactKeeper, type ArtifactUse } from './artifact-keeper.ts';
import type { ArtifactSource } from './artifact-source.ts';
import { BootFiles, findInFolder } from './boot-files.ts';
import { DiskImageUse } from './disk-image-use.ts';
import type { ImageFault } from './image-fault.ts';
import type { ImageLibrary, PreparedImage } from './image-library.ts';
import { ImageStore, type ImageStoreOptions, keyOfDisk } from './image-store.ts';

export interface RackImageLibraryOptions
  extends Pick<ImageStoreOptions, 'directory' | 'reserveBytes' | 'xz' | 'clock' | 'logger'> {
  readonly artifacts: ArtifactSource;
  /** Folder of boot files that go before those of artifacts: `ARCHITECTURE/NAME`, or `NAME` for all. */
  readonly bootFiles?: string | undefined;
}

const lookMs = 3_600_000;
const idleMs = 86_400_000;
const retryMs = 30_000;

/** The images and boot files of a rack: one keeper for each that is wanted. */
export class RackImageLibrary implements ImageLibrary {
  readonly #o: RackImageLibraryOptions;
  readonly #store: ImageStore;
  readonly #stop = new AbortController();
  readonly #listeners: (() => void)[] = [];
  /** By all that the order says of it. */
  readonly #keepers = new Map<string, ArtifactKeeper>();
  readonly #ending = new Set<Promise<void>>();
  #needed: readonly string[] | undefined;
  #telling: Promise<void> | undefined;
  #looking: Promise<void> = Promise.resolve();

  private constructor(options: RackImageLibraryOptions, store: ImageStore) {
    this.#o = options;
    this.#store = store;
  }

  static async open(options: RackImageLibraryOptions): Promise<RackImageLibrary> {
    const { directory, reserveBytes, xz, clock, logger } = options;
    const store = await ImageStore.open({
      directory,
      reserveBytes,
      xz,
      clock,
      logger,
      onDamaged: (key) => library.#wakeFor(key),
    });
    const library: RackImageLibrary = new RackImageLibrary(options, store);
    library.#looking = library.#look();
    return library;
  }

  setWanted(
    images: readonly RackImage[],
    inspection: readonly RackInspectionImage[],
    mayFetch: boolean,
  ): void {
    if (this.#stop.signal.aborted) return;
    const uses = new Map<string, () => ArtifactUse>([
      ...inspection.map((image) => [keyOf('boot', image), () => new BootFiles(image)] as const),
      ...images.map((image) => [keyOf('disk', image), () => new DiskImageUse(image, this.#store)] as const),
    ]);
    const keys = images.flatMap((image) => findKey(image) ?? []);
    this.#store.setWanted(new Set(keys));
    let isChanged = false;
    for (const [key, keeper] of this.#keepers) {
      if (uses.has(key)) continue;
      this.#keepers.delete(key);
      isChanged = true;
      const ended = keeper.stop().finally(() => this.#ending.delete(ended));
      this.#ending.add(ended);
    }
    this.#tellNeeded([...images, ...inspection].map(({ reference }) => reference));
    for (const [key, make] of uses) {
      const known = this.#keepers.get(key);
      known?.setMayFetch(mayFetch);
      if (known !== undefined) continue;
      isChanged = true;
      this.#keepers.set(key, this.#keep(make(), mayFetch));
    }
    if (isChanged) this.#changed();
  }

  states(): RackReport['images'] {
    return [...this.#keepers.values()]
      .map(({ state }) => state)
      .toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  fault(image: RackImage): ImageFault | undefined {
    return this.#keepers.get(keyOf('disk', image))?.fault;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  async find(image: RackImage): Promise<PreparedImage | undefined> {
    const key = findKey(image);
    const disk = key === undefined ? undefined : await this.#store.find(key);
    if (disk === undefined || disk.diskBytes > (image.diskBytes ?? disk.diskBytes)) return undefined;
    return disk;
  }

  async findBootFile(architecture: MachineArchitecture, name: string): Promise<string | undefined> {
    const { bootFiles } = this.#o;
    const own = bootFiles && (await findInFolder(bootFiles, architecture, name));
    if (own !== undefined && own !== '') return own;
    for (const keeper of this.#keepers.values()) {
      const { use } = keeper;
      if (!(use instanceof BootFiles) || use.architecture !== architecture) continue;
      const path = await use.find(name);
      if (path !== undefined) return path;
      // It was here and was changed or removed: that is looked into now.
      if (use.has(name)) keeper.wake();
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    const keepers = [...this.#keepers.values()].map((keeper) => keeper.stop());
    await Promise.all([...keepers, ...this.#ending, this.#looking, this.#telling]);
  }

  #keep(use: ArtifactUse, mayFetch: boolean): ArtifactKeeper {
    const { artifacts, clock, logger } = this.#o;
    const freeSpace = async () => (await this.#store.evict({ idleMs: 0, most: 1 })) > 0;
    const onChange = () => this.#changed();
    return new ArtifactKeeper({ use, artifacts, freeSpace, onChange, clock, logger }, mayFetch);
  }

  #wakeFor(key: string): void {
    for (const keeper of this.#keepers.values()) {
      const { use } = keeper;
      if (use instanceof DiskImageUse && findKey(use.image) === key) keeper.wake();
    }
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Kept until it is said; what the depot was told before it keeps meanwhile. */
  #tellNeeded(references: readonly string[]): void {
    const { artifacts, clock, logger } = this.#o;
    this.#needed = [...new Set(references)].sort();
    this.#telling ??= (async () => {
      const { signal } = this.#stop;
      while (this.#needed !== undefined && !signal.aborted) {
        const needed: readonly string[] = this.#needed;
        try {
          await artifacts.setNeeded(needed);
          if (this.#needed === needed) this.#needed = undefined;
        } catch (error) {
          logger.warn('the depot could not be told which machine images are needed', { error });
          await clock.sleep(retryMs, signal);
        }
      }
      this.#telling = undefined;
    })();
  }

  /** Now and then: what nobody has wanted for a day is given up, what is wanted is noted as such, and whether it is whole. */
  async #look(): Promise<void> {
    const { clock, logger } = this.#o;
    const { signal } = this.#stop;
    for (;;) {
      await clock.sleep(lookMs * (0.75 + Math.random() / 2), signal);
      if (signal.aborted) return;
      try {
        await this.#store.evict({ idleMs });
        for (const keeper of this.#keepers.values()) keeper.wake();
      } catch (error) {
        logger.warn('the unpacked disk images could not be looked at', { error });
      }
    }
  }
}

function keyOf(kind: 'boot' | 'disk', image: RackImage | RackInspectionImage): string {
  return `${kind} ${canonicalJson(image)}`;
}

/** Undefined: what the order calls a digest is none; its keeper says so. */
function findKey(image: RackImage): string | undefined {
  try {
    return keyOfDisk(image);
  } catch {
    return undefined;
  }
}
