import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BlobFiles } from './blob-files.ts';
import { allBlobs, ImageRecords, keyOfName, sizeOfImage } from './image-records.ts';
import { NeededImages } from './needed-images.ts';
import { verifyBlobs } from './verify-blobs.ts';

export interface ListedImage {
  /** `registry/repository:tag`, or `registry/repository@sha256:…`. */
  readonly name: string;
  readonly digest: string;
  readonly tag?: string;
  readonly sizeBytes: number;
  /** Bytes of it that are here and verified. */
  readonly hereBytes: number;
  /** An application of the site needs it: it is never given up for space. */
  readonly isNeeded: boolean;
  readonly lastUsedTime: string;
}

export interface DepotList {
  readonly images: readonly ListedImage[];
  /** Every blob that is whole here, also of images that are not. */
  readonly blobs: readonly { readonly digest: string; readonly sizeBytes: number }[];
  readonly totalBytes: number;
}

/** What is in a depot's folder. Reads only, beside a running agent. Throws when there is no depot. */
export async function listDepot(directory: string): Promise<DepotList> {
  const { files, records } = openFolder(directory);
  const needed = new NeededImages(directory);
  await needed.read();
  const neededKeys = new Set(needed.names.map(keyOfName));
  const blobs = await files.listBlobs();
  const here = new Map(blobs.map(({ digest, sizeBytes }) => [digest, sizeBytes]));
  const images = (await records.all()).map((image): ListedImage => {
    const parts = new Map(allBlobs(image).map((blob) => [blob.digest, blob]));
    const whole = [...parts.values()].filter(({ digest, sizeBytes }) => here.get(digest) === sizeBytes);
    return {
      name: image.key,
      digest: image.digest,
      ...(image.tag === undefined ? {} : { tag: image.tag }),
      sizeBytes: sizeOfImage(image),
      hereBytes: whole.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      isNeeded: neededKeys.has(image.key),
      lastUsedTime: new Date(image.usedMs).toISOString(),
    };
  });
  return {
    images: images.sort((a, b) => (a.name < b.name ? -1 : 1)),
    blobs: blobs.map(({ digest, sizeBytes }) => ({ digest, sizeBytes })),
    totalBytes: blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

export interface VerifiedDepot {
  readonly blobs: number;
  readonly bytes: number;
  /** Digests of those that were something else; they are gone now, and fetched again when they are needed. */
  readonly removed: readonly string[];
  /** Names of images that lost something. */
  readonly images: readonly string[];
}

/** Reads every blob of a depot and removes those that are not as their digest says. Works beside a running agent. */
export async function verifyDepot(directory: string, signal: AbortSignal): Promise<VerifiedDepot> {
  const { files, records } = openFolder(directory);
  const blobs = await files.listBlobs();
  const removed = await verifyBlobs(files, blobs, signal);
  for (const digest of removed) await files.removeBlob(digest);
  const lost = new Set(removed);
  const images = (await records.all()).filter((image) =>
    allBlobs(image).some(({ digest }) => lost.has(digest)),
  );
  return {
    blobs: blobs.length,
    bytes: blobs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    removed,
    images: images.map(({ key }) => key).sort(),
  };
}

function openFolder(directory: string): { files: BlobFiles; records: ImageRecords } {
  if (!existsSync(join(directory, 'blobs', 'sha256'))) {
    throw new Error(
      `there is no depot in ${directory}; name its folder with --depot, or the agent's with --state`,
    );
  }
  return { files: new BlobFiles(directory), records: new ImageRecords(directory) };
}
