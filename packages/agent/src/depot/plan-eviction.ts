import { allBlobs, type UsedImage } from './image-records.ts';
import type { StoredBlob, StoredPartial } from './blob-files.ts';

export interface DepotContents {
  readonly images: readonly UsedImage[];
  readonly blobs: readonly StoredBlob[];
  readonly partials: readonly StoredPartial[];
  /** Keys of images that somebody needs. */
  readonly neededKeys: ReadonlySet<string>;
  /** Digests of what is being fetched, served or brought in now. */
  readonly pinned: ReadonlySet<string>;
  readonly nowMs: number;
}

export interface Eviction {
  /** Keys of images that are given up, the least recently used first. */
  readonly images: readonly string[];
  readonly blobs: readonly string[];
  /** Their names. */
  readonly partials: readonly string[];
  readonly freedBytes: number;
}

/** Another program may be bringing in an image: its blobs come before their record. */
const orphanGraceMs = 3_600_000;

/**
 * What to give up for so many bytes: first what belongs to no image, then the images that were not used for longest, until it is enough. Never a blob of
 * an image that is needed, nor one that is pinned. Pure; what it frees may be less than what was asked for.
 */
export function planEviction(contents: DepotContents, bytesToFree: number): Eviction {
  const { neededKeys, pinned, nowMs } = contents;
  const sizes = new Map(contents.blobs.map(({ digest, sizeBytes }) => [digest, sizeBytes]));
  const begun = Map.groupBy(contents.partials, ({ digest }) => digest);
  const holders = new Map<string, number>();
  for (const image of contents.images) for (const digest of digestsOf(image)) add(holders, digest, 1);
  const isOld = ({ writtenMs }: StoredBlob) => nowMs - writtenMs > orphanGraceMs;
  const isFree = ({ digest }: { digest: string }) => !holders.has(digest) && !pinned.has(digest);
  const isWhole = ({ digest }: { digest: string }) => sizes.has(digest) && !pinned.has(digest);
  const orphans = contents.blobs.filter((blob) => isFree(blob) && isOld(blob));
  // What came whole from elsewhere is not gone on with.
  const partials = contents.partials.filter((part) => isFree(part) || isWhole(part));
  const given = { images: [] as string[], blobs: [] as string[], partials: [] as string[], freedBytes: 0 };
  for (const { digest, sizeBytes } of orphans.sort(byAge)) {
    if (given.freedBytes >= bytesToFree) return given;
    given.blobs.push(digest);
    given.freedBytes += sizeBytes;
  }
  for (const { name, sizeBytes } of partials.sort(byAge)) {
    if (given.freedBytes >= bytesToFree) return given;
    given.partials.push(name);
    given.freedBytes += sizeBytes;
  }
  const idle = contents.images
    // What is being fetched has its manifest pinned. Others may only share a part with it: all artifacts share an empty configuration.
    .filter((image) => !neededKeys.has(image.key) && !pinned.has(image.digest))
    .sort((a, b) => a.usedMs - b.usedMs || (a.key < b.key ? -1 : 1));
  for (const image of idle) {
    if (given.freedBytes >= bytesToFree) return given;
    given.images.push(image.key);
    for (const digest of digestsOf(image)) {
      if (add(holders, digest, -1) > 0 || pinned.has(digest)) continue;
      const size = sizes.get(digest);
      if (size !== undefined) given.blobs.push(digest);
      given.freedBytes += size ?? 0;
      for (const part of begun.get(digest) ?? []) {
        if (size !== undefined) continue;
        given.partials.push(part.name);
        given.freedBytes += part.sizeBytes;
      }
    }
  }
  return given;
}

function digestsOf(image: UsedImage): string[] {
  return [...new Set(allBlobs(image).map(({ digest }) => digest))];
}

function add(counts: Map<string, number>, key: string, change: number): number {
  const count = (counts.get(key) ?? 0) + change;
  counts.set(key, count);
  return count;
}

function byAge(a: StoredBlob, b: StoredBlob): number {
  return a.writtenMs - b.writtenMs || (a.digest < b.digest ? -1 : 1);
}
