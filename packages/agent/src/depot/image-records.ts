import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type ImageReference, parseImageReference } from '@selvedge/api';
import { writeFileAtomically } from '@selvedge/api/node';
import { type BlobDescriptor, digestPattern } from './blob-files.ts';

/** A manifest or an index of an image. */
export interface StoredManifest extends BlobDescriptor {
  readonly mediaType: string;
}

/** An image that was whole in the depot when this was written. */
export interface ImageRecord {
  /** `registry/repository:tag`, or `registry/repository@sha256:…` where the name has a digest. */
  readonly key: string;
  readonly registry: string;
  readonly repository: string;
  /** Also beside a digest. */
  readonly tag?: string;
  /** What the name leads to: a manifest, or an index. */
  readonly digest: string;
  /** The first one is that of `digest`. */
  readonly manifests: readonly StoredManifest[];
  /** Configurations and layers, each once. */
  readonly blobs: readonly BlobDescriptor[];
  /** Namespaces for which its registry, or its hub, gave it out. */
  readonly readers?: readonly string[];
  /** It was carried here: the hub signed that this site may have it. */
  readonly isCarried?: boolean;
}

export interface UsedImage extends ImageRecord {
  readonly usedMs: number;
}

/** The name under which a reference is kept: beside a digest the tag means nothing. */
export function keyOfImage({ registry, repository, tag, digest }: ImageReference): string {
  return digest === undefined ? `${registry}/${repository}:${tag}` : `${registry}/${repository}@${digest}`;
}

/** As `keyOfImage` for a name; the name itself when it is none that can be read. */
export function keyOfName(image: string): string {
  const reference = parseImageReference(image);
  return reference === undefined ? image : keyOfImage(reference);
}

export function allBlobs(record: ImageRecord): BlobDescriptor[] {
  return [...record.manifests, ...record.blobs];
}

/** Whether applications of the namespace may have the image without its registry being asked. */
export function mayRead({ readers = [], isCarried = false }: ImageRecord, namespace: string): boolean {
  return isCarried || readers.includes(namespace);
}

/** Bytes of all that belongs to an image, each blob once. */
export function sizeOfImage(record: ImageRecord): number {
  const sizes = new Map(allBlobs(record).map(({ digest, sizeBytes }) => [digest, sizeBytes]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

/**
 * One small file for each image; the time of its last change is when the image was last used. Read from disk each time, as other programs may add some.
 */
export class ImageRecords {
  readonly #folder: string;
  /** By file: what was read when the file had this time. */
  readonly #read = new Map<string, UsedImage>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(directory: string) {
    this.#folder = join(directory, 'images');
  }

  async prepare(): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
  }

  async find(key: string): Promise<UsedImage | undefined> {
    const found = await this.#load(fileOf(key));
    return found?.key === key ? found : undefined;
  }

  /** Those that can be read. */
  async all(): Promise<UsedImage[]> {
    const names = (await readdir(this.#folder)).filter((name) => filePattern.test(name));
    for (const known of this.#read.keys()) if (!names.includes(known)) this.#read.delete(known);
    const found: UsedImage[] = [];
    for (const name of names) {
      const record = await this.#load(name);
      if (record !== undefined) found.push(record);
    }
    return found;
  }

  /** Writes what `change` makes of the record as it is: one change after the other, whoever makes it. Durable when it resolves. */
  async update(
    key: string,
    change: (former: ImageRecord | undefined) => Promise<Omit<ImageRecord, 'key'>>,
  ): Promise<ImageRecord> {
    const work = this.#turn.then(async () => {
      const record = { ...(await change(await this.find(key))), key };
      await this.put(record);
      return record;
    });
    this.#turn = work.catch(() => {});
    return await work;
  }

  /** Durable when it resolves. */
  async put(record: ImageRecord): Promise<void> {
    await writeFileAtomically(join(this.#folder, fileOf(record.key)), `${JSON.stringify(record)}\n`);
  }

  async remove(key: string): Promise<void> {
    await rm(join(this.#folder, fileOf(key)), { force: true });
  }

  async noteUse(key: string, now: Date): Promise<void> {
    // What was not noted is only given up earlier.
    await utimes(join(this.#folder, fileOf(key)), now, now).catch(() => {});
  }

  async #load(name: string): Promise<UsedImage | undefined> {
    const path = join(this.#folder, name);
    try {
      const { mtimeMs } = await stat(path);
      const known = this.#read.get(name);
      if (known?.usedMs === mtimeMs) return known;
      const record = parseRecord(await readFile(path, 'utf8'));
      if (record === undefined) return undefined;
      const used = { ...record, usedMs: mtimeMs };
      this.#read.set(name, used);
      return used;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      this.#read.delete(name);
      return undefined;
    }
  }
}

const filePattern = /^[0-9a-f]{64}\.json$/;

function fileOf(key: string): string {
  return `${createHash('sha256').update(key).digest('hex')}.json`;
}

/** A damaged record is none: its image is fetched again, its blobs are found to be here. */
function parseRecord(text: string): ImageRecord | undefined {
  let value: Partial<ImageRecord> | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return undefined;
  }
  const isBlob = (blob: Partial<BlobDescriptor> | null) =>
    digestPattern.test(String(blob?.digest)) && Number.isSafeInteger(blob?.sizeBytes);
  const texts = [value?.key, value?.registry, value?.repository, value?.digest];
  if (!texts.every((one) => typeof one === 'string')) return undefined;
  const readers: unknown = value?.readers ?? [];
  if (!Array.isArray(readers) || !readers.every((one) => typeof one === 'string')) return undefined;
  if (!Array.isArray(value?.manifests) || !Array.isArray(value.blobs)) return undefined;
  if (![...value.manifests, ...value.blobs].every(isBlob)) return undefined;
  return value as ImageRecord;
}
