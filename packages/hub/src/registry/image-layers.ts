import type { ImageManifest, ImageRepository } from './image-repository.ts';
import { RegistryError } from './registry-error.ts';

/** A part of an image, as it is stored and fetched. */
export interface ImageLayer {
  readonly digest: string;
  /** As it is fetched: compressed. */
  readonly sizeBytes: number;
}

export interface LayersRequest {
  /** As in image names, for messages. */
  readonly registry: string;
  /** Tag or digest. */
  readonly reference: string;
  /** As OCI names it: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly signal: AbortSignal;
}

const maxManifestBytes = 1024 * 1024;
const maxLayers = 200;
const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** The layers of an image for one architecture, its configuration included. Throws RegistryError. */
export async function fetchImageLayers(
  repository: ImageRepository,
  request: LayersRequest,
): Promise<ImageLayer[]> {
  const { registry, reference, architecture, signal } = request;
  const get = async (wanted: string) =>
    parse(registry, await repository.getManifest(wanted, { signal, maxBytes: maxManifestBytes }));
  const first = await get(reference);
  if (!Array.isArray(first['manifests'])) return layersOf(registry, first);
  const chosen = chooseManifest(first['manifests'], architecture);
  if (chosen === undefined) {
    throw new RegistryError('NotFound', `${registry} has it for other architectures than ${architecture}`);
  }
  return layersOf(registry, await get(chosen));
}

function chooseManifest(manifests: readonly unknown[], architecture: string): string | undefined {
  const fitting = manifests
    .filter(isRecord)
    .filter(
      ({ platform }) =>
        isRecord(platform) && platform['os'] === 'linux' && platform['architecture'] === architecture,
    );
  // Of the variants of arm the newest is what today's machines take.
  const newest =
    fitting.find(({ platform }) => isRecord(platform) && platform['variant'] === 'v7') ?? fitting[0];
  const digest = newest?.['digest'];
  return typeof digest === 'string' && /^sha256:[0-9a-f]{64}$/.test(digest) ? digest : undefined;
}

function layersOf(registry: string, manifest: Record<string, unknown>): ImageLayer[] {
  const { config, layers } = manifest;
  if (!Array.isArray(layers) || layers.length > maxLayers) throw notUnderstood(registry);
  return [config, ...(layers as unknown[])].map((layer) => {
    if (!isRecord(layer)) throw notUnderstood(registry);
    const { digest, size } = layer;
    const isSize = typeof size === 'number' && Number.isSafeInteger(size) && size >= 0;
    if (typeof digest !== 'string' || !digestPattern.test(digest) || !isSize) throw notUnderstood(registry);
    return { digest, sizeBytes: size };
  });
}

function parse(registry: string, { bytes }: ImageManifest): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (isRecord(value)) return value;
  } catch {
    // Said below.
  }
  throw notUnderstood(registry);
}

function notUnderstood(registry: string): RegistryError {
  const cause = new Error('it answered something that is no image manifest');
  return new RegistryError('Invalid', `${registry} cannot be asked`, { cause });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
