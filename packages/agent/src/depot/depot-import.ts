import { mkdir } from 'node:fs/promises';
import type { Clock, Logger } from '@selvedge/api';
import { type BlobDescriptor, BlobFiles } from './blob-files.ts';
import { DepotError } from './depot.ts';
import { toDepotError } from './depot-error.ts';
import { DepotSpace } from './depot-space.ts';
import { composeRecord, type FoundManifest, getReference, readManifest } from './image-fetcher.ts';
import { allBlobs, type ImageRecord, ImageRecords, keyOfImage, keyOfName } from './image-records.ts';
import { NeededImages } from './needed-images.ts';

export interface DepotImportOptions {
  readonly directory: string;
  /** Left free on the disk. Default: as for the depot of an agent. */
  readonly reserveBytes?: number | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An image that is brought, as whoever may say so named it for this site. */
export interface ExpectedImage {
  readonly name: string;
  readonly digest: string;
}

/**
 * Brings images into a depot's folder from elsewhere than a registry, beside an agent that uses it or without one. As the agent does, it leaves the disk its
 * reserve, keeps to the depot's size, and gives up images that nobody needs.
 */
export class DepotImport {
  readonly #files: BlobFiles;
  readonly #records: ImageRecords;
  readonly #needed: NeededImages;
  readonly #space: DepotSpace;
  #maxBytes: number | undefined;
  /** By digest of what the name leads to. */
  readonly #expected = new Map<string, ExpectedImage[]>();
  /** The indexes that name a manifest, by its digest. */
  readonly #indexes = new Map<string, Set<string>>();

  private constructor({ directory, reserveBytes, clock, logger }: DepotImportOptions) {
    this.#files = new BlobFiles(directory);
    this.#records = new ImageRecords(directory);
    this.#needed = new NeededImages(directory);
    this.#space = new DepotSpace({
      directory,
      files: this.#files,
      records: this.#records,
      neededKeys: () => this.#neededKeys(),
      maxBytes: () => this.#maxBytes,
      reserveBytes,
      clock,
      logger,
    });
  }

  /** Makes the folder when it is missing. Throws DepotError. */
  static async open(options: DepotImportOptions): Promise<DepotImport> {
    const { directory } = options;
    const depot = new DepotImport(options);
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await depot.#files.prepare();
      await depot.#records.prepare();
    } catch (error) {
      throw toDepotError(error, `the depot in ${directory} cannot be used`);
    }
    return depot;
  }

  /** What comes: none of it is given up again, and each is known as soon as its manifests are here. `maxBytes`: of `Site.spec.depot.size`. */
  expect(images: readonly ExpectedImage[], maxBytes: number | undefined): void {
    this.#maxBytes = maxBytes;
    for (const image of images) {
      this.#expected.set(image.digest, [...(this.#expected.get(image.digest) ?? []), image]);
    }
  }

  /**
   * Durable and verified when it resolves; nothing is read when it is here. What is not as its digest says leaves nothing behind. @returns whether it
   * is new. Throws DepotError (`DigestMismatch`, `StorageFull`); errors of the stream as they are.
   */
  async addBlob(blob: BlobDescriptor, chunks: AsyncIterable<Uint8Array>): Promise<boolean> {
    const isNew = !(await this.#files.has(blob));
    if (isNew) await this.#write(blob, chunks);
    await this.#noteManifest(blob.digest);
    return isNew;
  }

  /**
   * Says that a name (`registry/repository[:tag][@digest]`) leads to this manifest or index, and that applications of the site may have it. @returns
   * whether the image is whole here; it is known in any case when its manifests are, and the depot fetches only the rest.
   */
  async addImage(name: string, digest: string): Promise<boolean> {
    const reference = getReference(name);
    const root = await readManifest(this.#files, digest, reference);
    if (root === undefined) return false;
    const images = root.parsed.kind === 'index' ? await this.#imagesOf(root) : [];
    if (root.parsed.kind === 'index' && images.length === 0) return false;
    const brought = { ...composeRecord(reference, [root, ...images]), isCarried: true };
    const isWhole = await this.#isWhole(brought);
    await this.#records.update(brought.key, async (former) => {
      const readers = former?.readers === undefined ? {} : { readers: former.readers };
      // What runs from here stays whole while more of it comes.
      const isBetter = former?.digest === digest && !isWhole && (await this.#isWhole(former));
      return { ...(isBetter ? former : brought), ...readers, isCarried: true };
    });
    if (isWhole && reference.digest === undefined) {
      await this.#records.put({ ...brought, key: keyOfImage(reference) });
    }
    return isWhole;
  }

  async #write(blob: BlobDescriptor, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#needed.read();
    const reservation = await this.#space.reserve(blob.sizeBytes, `a part of an image (${blob.digest})`);
    let isRight: boolean;
    try {
      isRight = await this.#files.write(blob, chunks);
    } catch (error) {
      const trouble = toDepotError(error, `${blob.digest} cannot be kept`);
      throw trouble.reason === 'StorageFull' ? trouble : error;
    } finally {
      reservation.end();
    }
    if (isRight) return;
    const message = `what came as ${blob.digest} (${blob.sizeBytes} bytes) is something else`;
    throw new DepotError('DigestMismatch', message, { isLasting: true });
  }

  /** From when its manifests are here, what comes belongs to an image: an agent beside this leaves it alone. */
  async #noteManifest(digest: string): Promise<void> {
    for (const root of [digest, ...(this.#indexes.get(digest) ?? [])]) {
      for (const { name } of this.#expected.get(root) ?? []) {
        const found = await readManifest(this.#files, root, getReference(name));
        if (found?.parsed.kind === 'index') {
          for (const part of partsOf(found))
            this.#indexes.set(part, indexesWith(this.#indexes.get(part), root));
        }
        await this.addImage(name, root);
      }
    }
  }

  async #imagesOf(index: FoundManifest): Promise<FoundManifest[]> {
    const found = await Promise.all(
      partsOf(index).map((part) => readManifest(this.#files, part, { registry: '', repository: '' })),
    );
    return found.filter((one) => one !== undefined);
  }

  async #isWhole(record: ImageRecord): Promise<boolean> {
    const areHere = await Promise.all(allBlobs(record).map((blob) => this.#files.has(blob)));
    return areHere.every(Boolean);
  }

  #neededKeys(): ReadonlySet<string> {
    const expected = [...this.#expected.values()].flat().flatMap(({ name, digest }) => {
      const { registry, repository } = getReference(name);
      return [keyOfName(name), `${registry}/${repository}@${digest}`];
    });
    return new Set([...this.#needed.names.map(keyOfName), ...expected]);
  }
}

/** Digests of the manifests that an index has for machines. */
function partsOf({ parsed }: FoundManifest): string[] {
  if (parsed.kind !== 'index') return [];
  const digests = parsed.architectures.flatMap((architecture) => parsed.choose(architecture) ?? []);
  return [...new Set(digests)];
}

function indexesWith(indexes: ReadonlySet<string> | undefined, root: string): Set<string> {
  return new Set([...(indexes ?? []), root]);
}
