import { type ArchivedBlob, type ArchivedImage, parseImageReference } from '@selvedge/api';
import { Limiter } from '../concurrency/limiter.ts';
import type { ImageRepositories } from '../registry/image-repositories.ts';
import type { ImageManifest, ImageRepository } from '../registry/image-repository.ts';
import { indexTypes } from '../registry/media-types.ts';
import { RegistryError } from '../registry/registry-error.ts';

/** An image that a site needs. */
export interface NeededImage {
  /** As the manifests name it. */
  readonly name: string;
  /** Of the application, for its logins. */
  readonly namespace: string;
}

/** A blob of an image, and where it comes from. */
export interface ImageBlob extends ArchivedBlob {
  readonly repository: ImageRepository;
  /** What is known already: manifests. */
  readonly bytes?: Buffer;
}

export interface CollectedImages {
  readonly images: readonly ArchivedImage[];
  /** Each once. */
  readonly blobs: readonly ImageBlob[];
  /** `index.json` of the OCI layout. */
  readonly index: object;
  /** Images that cannot be had, and why. */
  readonly leftOut: readonly string[];
}

const atOnce = 4;
const longestManifests = 200;
const emptyCollection: CollectedImages = { images: [], blobs: [], index: {}, leftOut: [] };

/**
 * Looks up what images consist of, for machines of these architectures (OCI names; none: all that an image has). Blobs are not fetched
 * yet. One that cannot be looked up is left out by name.
 */
export async function collectImages(
  repositories: ImageRepositories,
  needed: readonly NeededImage[],
  { architectures, signal }: { architectures: ReadonlySet<string>; signal: AbortSignal },
): Promise<CollectedImages> {
  if (needed.length === 0) return emptyCollection;
  const limiter = new Limiter(atOnce);
  const results = await Promise.all(
    needed.map((image) =>
      limiter.run(async () => {
        try {
          signal.throwIfAborted();
          return { image, parts: await lookUp(repositories, image, { architectures, signal }) };
        } catch (error) {
          if (!(error instanceof RegistryError) && !signal.aborted) throw error;
          return { image, why: signal.aborted ? 'it took too long to look it up' : (error as Error).message };
        }
      }),
    ),
  );
  const blobs = new Map<string, ImageBlob>();
  const images: ArchivedImage[] = [];
  const leftOut: string[] = [];
  const roots = new Map<string, object>();
  for (const { image, parts, why } of results) {
    if (parts === undefined) {
      leftOut.push(`image ${image.name}: ${why}`);
      continue;
    }
    const { root } = parts;
    images.push({ name: image.name, digest: root.digest });
    roots.set(image.name, descriptorOf(root, image.name));
    for (const blob of parts.blobs) if (!blobs.has(blob.digest)) blobs.set(blob.digest, blob);
  }
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [...roots.values()],
  };
  return { images, blobs: [...blobs.values()], index, leftOut };
}

function descriptorOf({ mediaType, digest, bytes }: ImageManifest, name: string): object {
  const annotations = { 'org.opencontainers.image.ref.name': name };
  return { mediaType, digest, size: bytes.length, annotations };
}

async function lookUp(
  repositories: ImageRepositories,
  { name, namespace }: NeededImage,
  { architectures, signal }: { architectures: ReadonlySet<string>; signal: AbortSignal },
): Promise<{ root: ImageManifest; blobs: ImageBlob[] }> {
  const image = parseImageReference(name);
  if (image === undefined) throw new RegistryError('Invalid', 'this is no name of an image');
  const repository = await repositories.open({ namespace, image }, signal);
  const root = await repository.getManifest(image.reference, { signal });
  const blobs = [manifestBlob(repository, root)];
  const manifests: ImageManifest[] = [];
  if (indexTypes.includes(root.mediaType)) {
    for (const digest of chosenManifests(root, architectures)) {
      manifests.push(await repository.getManifest(digest, { signal }));
    }
    blobs.push(...manifests.map((manifest) => manifestBlob(repository, manifest)));
  } else manifests.push(root);
  for (const manifest of manifests) {
    for (const part of partsOf(manifest)) blobs.push({ ...part, repository });
  }
  return { root, blobs };
}

function manifestBlob(repository: ImageRepository, { digest, bytes }: ImageManifest): ImageBlob {
  return { digest, sizeBytes: bytes.length, repository, bytes };
}

function chosenManifests(index: ImageManifest, architectures: ReadonlySet<string>): string[] {
  const { manifests } = parse(index) as { manifests?: unknown };
  const all = (Array.isArray(manifests) ? manifests : []) as {
    digest?: unknown;
    platform?: { os?: unknown; architecture?: unknown };
  }[];
  const digests = all
    .filter(({ platform }) => platform === undefined || platform.os === 'linux')
    .filter(
      ({ platform }) =>
        platform === undefined ||
        architectures.size === 0 ||
        architectures.has(String(platform.architecture)),
    )
    .flatMap(({ digest }) => (isDigest(digest) ? [digest] : []));
  if (digests.length > 0 && digests.length <= longestManifests) return digests;
  throw new RegistryError(
    'NotFound',
    `there is none for linux on ${[...architectures].join(', ') || 'any machine'}`,
  );
}

function partsOf(manifest: ImageManifest): ArchivedBlob[] {
  const { config, layers } = parse(manifest) as { config?: unknown; layers?: unknown };
  return [config, ...(Array.isArray(layers) ? (layers as unknown[]) : [])].map((part) => {
    const { digest, size } = (part ?? {}) as { digest?: unknown; size?: unknown };
    if (!isDigest(digest) || !Number.isSafeInteger(size) || (size as number) < 0) {
      throw new RegistryError('Invalid', 'its manifest cannot be understood');
    }
    return { digest, sizeBytes: size as number };
  });
}

function isDigest(value: unknown): value is string {
  return typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value);
}

function parse({ bytes }: ImageManifest): object {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new RegistryError('Invalid', 'its manifest cannot be understood');
}
