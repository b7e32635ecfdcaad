import { parseImageReference } from '@selvedge/api';
import type { ArtifactManifest, ArtifactRegistry, ArtifactRequest } from '../sources/artifact-registry.ts';
import { SourceError, type SourceFault } from '../sources/source-reading.ts';
import type { ImageRepositories } from './image-repositories.ts';
import type { ImageRepository } from './image-repository.ts';
import { RegistryError, type RegistryFault } from './registry-error.ts';

/** Artifacts are read when something changed, not while somebody waits: slow registries get their time. */
const answerMilliseconds = 20_000;
const maxManifestBytes = 1024 * 1024;
const maxLayers = 1_000;
const maxTags = 10_000;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

const sourceFaultOf: Readonly<Record<RegistryFault, SourceFault>> = {
  Unavailable: 'SourceUnavailable',
  TooManyRequests: 'SourceUnavailable',
  DigestMismatch: 'SourceUnavailable',
  Invalid: 'RenderFailed',
  Denied: 'AuthenticationFailed',
  NotFound: 'NotFound',
  LimitExceeded: 'LimitExceeded',
};

/** Artifacts for sources, through the hub's client of registries. */
export class RegistryArtifacts implements ArtifactRegistry {
  readonly #repositories: Pick<ImageRepositories, 'open'>;

  constructor(repositories: Pick<ImageRepositories, 'open'>) {
    this.#repositories = repositories;
  }

  findDigest(request: ArtifactRequest, reference: string): Promise<string> {
    return this.#with(request, (repository) => repository.findDigest(reference, request.signal));
  }

  fetchManifest(request: ArtifactRequest, digest: string): Promise<ArtifactManifest> {
    return this.#with(request, async (repository) => {
      const { signal } = request;
      const manifest = await repository.getManifest(digest, { signal, maxBytes: maxManifestBytes });
      return parseArtifact(request.repository, manifest);
    });
  }

  fetchBlob(request: ArtifactRequest, digest: string, maxBytes: number): Promise<Uint8Array> {
    const { signal } = request;
    return this.#with(request, (repository) => repository.readBlob(digest, { maxBytes, signal }));
  }

  listTags(request: ArtifactRequest): Promise<readonly string[]> {
    return this.#with(request, (repository) => repository.listTags(maxTags, request.signal));
  }

  async #with<T>(request: ArtifactRequest, use: (repository: ImageRepository) => Promise<T>): Promise<T> {
    const { namespace, signal, login } = request;
    const image = parseImageReference(request.repository);
    if (image === undefined) {
      throw new SourceError('NotFound', `"${request.repository}" is no repository of a registry`);
    }
    try {
      const settings = { answerMilliseconds, login, credential: request.registryCredential };
      return await use(await this.#repositories.open({ namespace, image }, signal, settings));
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      throw new SourceError(sourceFaultOf[error.fault], `${request.repository}: ${error.message}`, {
        cause: error,
      });
    }
  }
}

function parseArtifact(
  repository: string,
  { digest, mediaType, bytes }: { digest: string; mediaType: string; bytes: Buffer },
): ArtifactManifest {
  const document = parseObject(bytes);
  const config = descriptorOf(document?.['config']);
  const layers = document?.['layers'];
  const found = Array.isArray(layers) ? layers.map(descriptorOf) : undefined;
  const isWhole = found?.every((layer) => layer !== undefined) === true && found.length <= maxLayers;
  if (document === undefined || config === undefined || !isWhole) {
    throw new SourceError(
      'RenderFailed',
      `${repository}@${digest} is no artifact: an OCI image manifest is wanted`,
    );
  }
  const { artifactType } = document;
  return {
    digest,
    mediaType,
    ...(typeof artifactType === 'string' ? { artifactType } : {}),
    config,
    layers: found.filter((layer) => layer !== undefined),
  };
}

function descriptorOf(value: unknown): ArtifactManifest['layers'][number] | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { mediaType, digest, size, annotations } = value as Record<string, unknown>;
  if (typeof mediaType !== 'string' || typeof digest !== 'string' || !digestPattern.test(digest))
    return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  const notes =
    typeof annotations === 'object' && annotations !== null
      ? Object.entries(annotations).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
      : [];
  return {
    mediaType,
    digest,
    size,
    ...(notes.length === 0 ? {} : { annotations: Object.fromEntries(notes) }),
  };
}

function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
