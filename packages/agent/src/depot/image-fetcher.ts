import { type ImageReference, parseImageReference } from '@selvedge/api';
import { sha256Digest } from '@selvedge/api/node';
import type { BlobDescriptor, BlobFiles } from './blob-files.ts';
import type { BlobFetcher } from './blob-fetcher.ts';
import { DepotError } from './depot.ts';
import { toDepotError } from './depot-error.ts';
import type { DepotSpace } from './depot-space.ts';
import {
  type ImageName,
  longestManifestBytes,
  manifestTypes,
  type ParsedManifest,
  parseManifest,
} from './image-manifest.ts';
import {
  allBlobs,
  type ImageRecord,
  type ImageRecords,
  keyOfImage,
  mayRead,
  type StoredManifest,
} from './image-records.ts';
import { readLimited } from './read-limited.ts';
import type { RegistryDoor } from './registry-door.ts';

export interface ImageFetcherOptions {
  readonly files: BlobFiles;
  readonly records: ImageRecords;
  readonly blobs: BlobFetcher;
  readonly space: DepotSpace;
}

export interface ImageRequest {
  readonly reference: ImageReference;
  readonly door: RegistryDoor;
  /** Of the application that needs it: whose right to it the door tells. */
  readonly namespace: string;
  /** What a tag leads to is looked up anew; else it leads to what it led to before, as long as that can be had. */
  readonly isFresh: boolean;
  /** As OCI names them; of an image for several machines these are brought here. */
  readonly architectures: readonly string[];
  /** Told when it is known of what the image consists. */
  readonly onParts: (parts: readonly BlobDescriptor[]) => void;
  readonly signal: AbortSignal;
}

export interface FoundManifest {
  readonly digest: string;
  readonly bytes: Buffer;
  readonly parsed: ParsedManifest;
}

/** Brings whole images here: manifests first, then what they name. */
export class ImageFetcher {
  readonly #o: ImageFetcherOptions;

  constructor(options: ImageFetcherOptions) {
    this.#o = options;
  }

  /** Durable when it resolves. Throws DepotError, or with the signal. */
  async fetch(request: ImageRequest): Promise<ImageRecord> {
    const { reference } = request;
    const root = await this.#root(request);
    const images = root.parsed.kind === 'image' ? [] : await this.#chosen(root.parsed, request);
    const all: [FoundManifest, ...FoundManifest[]] = [root, ...images];
    const record = composeRecord(reference, all);
    const unpin = this.#o.space.pin(allBlobs(record).map(({ digest }) => digest));
    try {
      return await this.#bring(record, all, request);
    } finally {
      unpin();
    }
  }

  async #bring(
    record: ImageRecord,
    manifests: readonly FoundManifest[],
    request: ImageRequest,
  ): Promise<ImageRecord> {
    const { files, blobs, space } = this.#o;
    const { reference, door, onParts, signal } = request;
    const parts = allBlobs(record);
    onParts(parts);
    const missing = await Promise.all(
      parts.map(async (part) => part.sizeBytes - (await blobs.receivedOf(part, door.registry))),
    );
    const missingBytes = missing.reduce((sum, bytes) => sum + bytes, 0);
    // Before the link is used for what does not fit in the end.
    (await space.reserve(missingBytes, `image ${record.registry}/${record.repository}`)).end();
    // From now on what arrives belongs to an image: it is kept for as long as that is needed.
    await this.#note(record, manifests, request);
    for (const { digest, bytes } of manifests) {
      await this.#keep(files.put(digest, bytes), 'a manifest cannot be written');
    }
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const each = record.blobs.map((blob) =>
      blobs.fetch(blob, { door, signal: either }).catch((error: unknown) => {
        failed.abort(error);
        throw error;
      }),
    );
    const results = await Promise.allSettled(each);
    signal.throwIfAborted();
    if (failed.signal.aborted) throw failed.signal.reason;
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    const whole = await this.#note(record, manifests, request);
    if (reference.digest !== undefined) return whole;
    // A tag goes on to lead to the image of before until the new one is whole.
    return await this.#note({ ...whole, key: keyOfImage(reference) }, manifests, request);
  }

  /** Writes the record of what was brought, with what is here already for other machines, and who may have it. */
  async #note(
    record: ImageRecord,
    manifests: readonly FoundManifest[],
    { namespace, reference }: ImageRequest,
  ): Promise<ImageRecord> {
    const written = this.#o.records.update(record.key, async (former) => {
      const same = former?.digest === record.digest ? former : undefined;
      const others = await this.#othersOf(same, manifests);
      const [root, ...images] = [...manifests, ...others];
      return {
        ...composeRecord(reference, [root as FoundManifest, ...images]),
        readers: [...new Set([...(same?.readers ?? []), namespace])].sort(),
        ...(same?.isCarried === true ? { isCarried: true } : {}),
      };
    });
    return await this.#keep(written, 'the record of an image cannot be written');
  }

  /** Of an index that was here before: what is whole for machines that this request does not name. */
  async #othersOf(
    former: ImageRecord | undefined,
    manifests: readonly FoundManifest[],
  ): Promise<FoundManifest[]> {
    const wanted = new Set(manifests.map(({ digest }) => digest));
    const whole: FoundManifest[] = [];
    for (const { digest } of former?.manifests ?? []) {
      const found = wanted.has(digest) ? undefined : await this.#here(digest, former as ImageRecord);
      if (found?.parsed.kind !== 'image') continue;
      const areHere = await Promise.all(found.parsed.parts.map((part) => this.#o.files.has(part)));
      if (areHere.every(Boolean)) whole.push(found);
    }
    return whole;
  }

  /** What the name leads to. From this disk only for those who may have it: what is here may be somebody else's. */
  async #root(request: ImageRequest): Promise<FoundManifest> {
    const { reference, namespace, isFresh } = request;
    const isTag = reference.digest === undefined;
    const known = await this.#o.records.find(keyOfImage(reference));
    if (known === undefined || (isFresh && isTag)) return await this.#ask(reference.reference, request);
    try {
      const here = mayRead(known, namespace) ? await this.#here(known.digest, reference) : undefined;
      return here ?? (await this.#ask(known.digest, request));
    } catch (error) {
      // What the tag led to is gone; it leads elsewhere now.
      if (!isTag || !(error instanceof DepotError) || error.reason !== 'NotFound') throw error;
      return await this.#ask(reference.reference, request);
    }
  }

  async #chosen(index: ParsedManifest & { kind: 'index' }, request: ImageRequest): Promise<FoundManifest[]> {
    const { reference, architectures } = request;
    const digests = architectures.flatMap((architecture) => index.choose(architecture) ?? []);
    if (digests.length === 0) {
      const has = index.architectures.join(', ') || 'none';
      throw new DepotError(
        'NotFound',
        `${reference.registry} has ${reference.repository}:${reference.reference} not for ${architectures.join(', ')}, only for: ${has}`,
        { isLasting: true },
      );
    }
    const images: FoundManifest[] = [];
    for (const digest of new Set(digests)) {
      const found = (await this.#here(digest, request.reference)) ?? (await this.#ask(digest, request));
      if (found.parsed.kind === 'index') {
        throw new DepotError('Invalid', `${reference.repository}: an index within an index is not taken`, {
          isLasting: true,
        });
      }
      images.push(found);
    }
    return images;
  }

  /** From this disk. */
  async #here(digest: string, image: ImageName): Promise<FoundManifest | undefined> {
    return await readManifest(this.#o.files, digest, image);
  }

  async #ask(wanted: string, request: ImageRequest): Promise<FoundManifest> {
    const { reference, door, signal } = request;
    const isDigest = wanted.startsWith('sha256:');
    const answer = await door.open({
      path: `manifests/${wanted}`,
      headers: { accept: manifestTypes },
      signal,
    });
    const { statusCode = 0, headers } = answer;
    if (statusCode !== 200) {
      answer.resume();
      throw refusal(statusCode, reference);
    }
    let bytes: Buffer;
    try {
      bytes = await readLimited(answer, longestManifestBytes);
    } catch (error) {
      signal.throwIfAborted();
      throw toDepotError(
        error,
        `the manifest of ${reference.repository} did not arrive from ${door.registry}`,
      );
    }
    const digest = sha256Digest(bytes);
    const said = isDigest ? wanted : headers['docker-content-digest'];
    if (typeof said === 'string' && said.startsWith('sha256:') && said !== digest) {
      throw new DepotError(
        'DigestMismatch',
        `what ${door.registry} sends as ${said} is something else: the registry, or something on the way, changes images`,
        { isLasting: true },
      );
    }
    return { digest, bytes, parsed: parseManifest(bytes, reference, headers['content-type']) };
  }

  async #keep<T>(written: Promise<T>, what: string): Promise<T> {
    try {
      return await written;
    } catch (error) {
      throw toDepotError(error, what);
    }
  }
}

/** A manifest or an index that is in a depot. Undefined: it is not, or it is damaged. */
export async function readManifest(
  files: BlobFiles,
  digest: string,
  image: ImageName,
): Promise<FoundManifest | undefined> {
  const bytes = await files.readSmall(digest, longestManifestBytes);
  if (bytes === undefined || sha256Digest(bytes) !== digest) return undefined;
  return { digest, bytes, parsed: parseManifest(bytes, image) };
}

/** The record of an image; the first manifest is what its name leads to. */
export function composeRecord(
  { registry, repository, tag }: ImageReference,
  manifests: readonly [FoundManifest, ...FoundManifest[]],
): ImageRecord {
  const [{ digest }] = manifests;
  const parts = manifests.flatMap(({ parsed }) => (parsed.kind === 'image' ? parsed.parts : []));
  return {
    key: `${registry}/${repository}@${digest}`,
    registry,
    repository,
    ...(tag === undefined ? {} : { tag }),
    digest,
    manifests: manifests.map(describe),
    blobs: [...new Map(parts.map((part) => [part.digest, part])).values()],
  };
}

function describe({ digest, bytes, parsed }: FoundManifest): StoredManifest {
  return { digest, sizeBytes: bytes.length, mediaType: parsed.mediaType };
}

function refusal(status: number, { registry, repository, reference }: ImageReference): DepotError {
  if (status === 404) {
    return new DepotError('NotFound', `${registry} has no image ${repository}:${reference} (not found)`, {
      isLasting: true,
    });
  }
  return new DepotError('Unavailable', `${registry} answered ${status} for ${repository}:${reference}`, {
    isLasting: false,
  });
}

/** Throws DepotError Invalid for what is no name of an image. */
export function getReference(image: string): ImageReference {
  const reference = parseImageReference(image);
  if (reference !== undefined) return reference;
  throw new DepotError('Invalid', `${image.slice(0, 200)} is not the name of an image`, { isLasting: true });
}
