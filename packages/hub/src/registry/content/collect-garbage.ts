import type { KeyedMutex } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import { DistributionError } from '../distribution-error.ts';
import type { BlobStorage } from '../storage/blob-storage.ts';
import { ContentKeys as keys } from './content-keys.ts';
import { readManifest } from './manifest-contents.ts';
import type { Collected } from './registry-content.ts';

export interface CollectOptions {
  readonly storage: BlobStorage;
  /** By digest: nobody relies on a blob while it is judged. */
  readonly turns: KeyedMutex;
  /** What was written or relied on later stays. */
  readonly before: Date;
  readonly signal: AbortSignal;
}

/**
 * Removes links to blobs that no manifest of the repository names, and blobs without a link. A blob goes only when it was found without a link twice, by two collections
 * that are a grace apart: between them whoever links it takes that note away, on any hub. Manifests and tags stay until somebody deletes them.
 */
export async function collectGarbage(options: CollectOptions): Promise<Omit<Collected, 'uploads'>> {
  const { storage, turns, before, signal } = options;
  const linked = await removeIdleLinks(options);
  const collected = { blobs: 0, bytes: 0, left: { blobs: 0, bytes: 0 } };
  for await (const blob of storage.list(keys.blobs)) {
    signal.throwIfAborted();
    const digest = keys.digestOf(blob.key);
    const isGone =
      !linked.has(digest) && (await turns.run(digest, () => judge(blob.key, digest, { storage, before })));
    const counted = isGone ? collected : collected.left;
    counted.blobs += 1;
    counted.bytes += blob.sizeBytes;
  }
  return collected;
}

/** To be called in the digest's turn. True: it is deleted. */
async function judge(
  key: string,
  digest: string,
  { storage, before }: Pick<CollectOptions, 'storage' | 'before'>,
): Promise<boolean> {
  const blob = await storage.find(key);
  if (blob === undefined || blob.modifiedAt >= before) return false;
  const note = await storage.find(keys.condemned(digest));
  if (note === undefined) {
    await storage.put(keys.condemned(digest), new Uint8Array());
    return false;
  }
  if (note.modifiedAt >= before) return false;
  await storage.delete(key);
  await storage.delete(keys.condemned(digest));
  return true;
}

/** Returns the digests of the links that stay. */
async function removeIdleLinks({ storage, turns, before, signal }: CollectOptions): Promise<Set<string>> {
  const links: { readonly repository: string; readonly key: string; readonly isOld: boolean }[] = [];
  const named = new Map<string, Set<string>>();
  for await (const { key, modifiedAt } of storage.list(keys.repositories)) {
    signal.throwIfAborted();
    const repository = keys.repositoryOf(key) ?? '';
    if (keys.isManifest(key)) {
      const used = named.get(repository) ?? new Set();
      for (const digest of await blobsOf(storage, key)) used.add(digest);
      named.set(repository, used);
    } else if (keys.isLink(key)) {
      links.push({ repository, key, isOld: modifiedAt < before });
    }
  }
  const stay = new Set<string>();
  for (const { repository, key, isOld } of links) {
    signal.throwIfAborted();
    const digest = keys.digestOf(key);
    const isIdle = isOld && !named.get(repository)?.has(digest);
    const isGone = isIdle && (await turns.run(digest, () => removeIdle(key, { storage, before })));
    if (!isGone) stay.add(digest);
  }
  return stay;
}

async function removeIdle(
  key: string,
  { storage, before }: Pick<CollectOptions, 'storage' | 'before'>,
): Promise<boolean> {
  const link = await storage.find(key);
  if (link === undefined) return true;
  if (link.modifiedAt >= before) return false;
  await storage.delete(key);
  return true;
}

/** One that is damaged ends the collection before anything is removed: not to know what is needed is no reason to remove. */
async function blobsOf(storage: BlobStorage, key: string): Promise<readonly string[]> {
  const bytes = await storage.read(key);
  if (bytes === undefined) return [];
  if (sha256Digest(bytes) !== keys.digestOf(key)) {
    throw new DistributionError('UNAVAILABLE', `${key} in ${storage.name} is damaged: nothing is collected`);
  }
  return readManifest(bytes).blobs;
}
