import { type TarEntry, sha256Digest } from '@selvedge/api/node';
import { type ArchivePlan, ArchiveRefused } from './archive-plan.ts';

/** Manifests and indexes. */
const longestManifest = 4 * 1024 * 1024;
const manifestTypes = new Set([
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
]);

/**
 * Which blobs of an archive the signed images truly consist of: an image's manifest stands before its parts, and says how long they
 * are. So nobody fills a disk with blobs that no image of the site has.
 */
export class ImageBlobs {
  /** Sizes of parts, as proven manifests give them. */
  readonly #parts = new Map<string, number>();
  /** Manifests and indexes that are to be read. */
  readonly #manifests: Set<string>;

  constructor({ images = [] }: Pick<ArchivePlan, 'images'>) {
    this.#manifests = new Set(images.map(({ digest }) => digest));
  }

  /** The content of a blob that belongs to an image; a manifest is proven already. Throws ArchiveRefused for any other. */
  async check(digest: string, entry: TarEntry): Promise<AsyncIterable<Uint8Array>> {
    if (this.#manifests.has(digest)) {
      const bytes = await readManifest(entry);
      if (sha256Digest(bytes) !== digest) {
        throw new ArchiveRefused(`the file is damaged: ${entry.name} is something else`);
      }
      this.#learn(bytes, entry.name);
      return toStream(bytes);
    }
    const sizeBytes = this.#parts.get(digest);
    if (sizeBytes === undefined) {
      throw new ArchiveRefused(
        `the file has ${entry.name}, which no image of this site needs: it was changed`,
      );
    }
    if (sizeBytes !== entry.sizeBytes) {
      throw new ArchiveRefused(`${entry.name} in the file is not as long as its image says`);
    }
    return entry.content();
  }

  #learn(bytes: Buffer, name: string): void {
    const { manifests, config, layers } = parse(bytes, name);
    for (const part of [...listOf(manifests), ...listOf(layers), config]) {
      const { digest, size, mediaType } = (part ?? {}) as Record<string, unknown>;
      if (typeof digest !== 'string' || typeof size !== 'number') continue;
      if (manifests !== undefined || manifestTypes.has(String(mediaType))) this.#manifests.add(digest);
      else this.#parts.set(digest, size);
    }
  }
}

async function readManifest(entry: TarEntry): Promise<Buffer> {
  if (entry.sizeBytes > longestManifest) {
    throw new ArchiveRefused(`${entry.name} in the file is too long for the manifest of an image`);
  }
  return Buffer.concat(await Array.fromAsync(entry.content()));
}

function parse(bytes: Buffer, name: string): { manifests?: unknown; config?: unknown; layers?: unknown } {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new ArchiveRefused(`the file is damaged: ${name} is no manifest of an image`);
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : [];
}

async function* toStream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
