import { Readable } from 'node:stream';
import { createHash } from 'node:crypto';
import type { RegistryContent } from './content/registry-content.ts';
import { DistributionError } from './distribution-error.ts';
import type {
  BlobRequest,
  ImageManifest,
  ImageRepository,
  ManifestRequest,
  WholeBlobRequest,
} from './image-repository.ts';
import { RegistryError } from './registry-error.ts';
import { collect } from './registry-request.ts';

export interface OwnRepositoryOptions {
  /** As in image names, for messages. */
  readonly registry: string;
  readonly repository: string;
  /** Opened when it is needed. Throws DistributionError: NAME_UNKNOWN when there is no such repository. */
  readonly content: () => Promise<RegistryContent>;
}

/** A repository of the hub's own registry, for the hub itself: no request goes over the network. */
export class OwnRepository implements ImageRepository {
  readonly #o: OwnRepositoryOptions;

  constructor(options: OwnRepositoryOptions) {
    this.#o = options;
  }

  async getManifest(reference: string, { maxBytes }: ManifestRequest): Promise<ImageManifest> {
    const manifest = await this.#use((content) => content.findManifest(this.#o.repository, reference));
    if (manifest === undefined) throw this.#missing('image');
    if (maxBytes !== undefined && manifest.bytes.length > maxBytes) throw this.#tooLarge(maxBytes);
    return manifest;
  }

  async findDigest(reference: string, signal: AbortSignal): Promise<string> {
    return (await this.getManifest(reference, { signal })).digest;
  }

  async openBlob(digest: string, { offset = 0, sizeBytes, signal }: BlobRequest): Promise<Readable> {
    const { repository } = this.#o;
    const blob = await this.#use((content) => content.findBlob(repository, digest));
    if (blob === undefined) throw this.#missing('blob');
    if (blob.sizeBytes !== sizeBytes) throw this.#mismatch();
    const range = offset === 0 ? undefined : { offset, length: sizeBytes - offset };
    const bytes = await this.#use((content) => content.openBlob(repository, digest, range));
    if (bytes === undefined) throw this.#missing('blob');
    const verified = this.#verified(bytes, { digest: offset === 0 ? digest : undefined, signal });
    return Readable.from(verified, { objectMode: false });
  }

  async readBlob(digest: string, { maxBytes, signal }: WholeBlobRequest): Promise<Buffer> {
    const blob = await this.#use((content) => content.findBlob(this.#o.repository, digest));
    if (blob === undefined) throw this.#missing('blob');
    if (blob.sizeBytes > maxBytes) throw this.#tooLarge(maxBytes);
    return collect(await this.openBlob(digest, { sizeBytes: blob.sizeBytes, signal }), maxBytes, signal);
  }

  async listTags(most: number): Promise<string[]> {
    const tags = await this.#use((content) => content.listTags(this.#o.repository));
    if (tags === undefined) throw this.#missing('repository');
    if (tags.length > most)
      throw new RegistryError('LimitExceeded', `${this.#o.registry} has more than ${most} tags`);
    return tags;
  }

  async #use<T>(work: (content: RegistryContent) => Promise<T>): Promise<T> {
    try {
      return await work(await this.#o.content());
    } catch (error) {
      if (!(error instanceof DistributionError)) throw error;
      if (error.code === 'NAME_UNKNOWN') throw this.#missing('repository');
      throw new RegistryError('Unavailable', `${this.#o.registry} cannot be asked: ${error.message}`, {
        cause: error,
      });
    }
  }

  async *#verified(
    bytes: Readable,
    { digest, signal }: { digest: string | undefined; signal: AbortSignal },
  ): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      hash.update(chunk);
      yield chunk;
    }
    if (digest !== undefined && `sha256:${hash.digest('hex')}` !== digest) throw this.#mismatch();
  }

  #missing(what: 'image' | 'blob' | 'repository'): RegistryError {
    return new RegistryError('NotFound', `${this.#o.registry} has no such ${what}`);
  }

  #mismatch(): RegistryError {
    return new RegistryError(
      'DigestMismatch',
      `${this.#o.registry} has something else under this digest: push it again`,
    );
  }

  #tooLarge(maxBytes: number): RegistryError {
    return new RegistryError(
      'LimitExceeded',
      `what ${this.#o.registry} has is larger than ${maxBytes} bytes`,
    );
  }
}
