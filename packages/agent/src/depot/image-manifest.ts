import { type BlobDescriptor, digestPattern } from './blob-files.ts';
import { DepotError } from './depot.ts';

const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const imageTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** For `Accept`, when a manifest is asked for. */
export const manifestTypes = [...indexTypes, ...imageTypes].join(', ');
/** As the OCI distribution specification wants registries to allow at least. */
export const longestManifestBytes = 4 * 1024 * 1024;
const mostParts = 1000;
const longestTitle = 255;

export type ParsedManifest =
  | {
      readonly kind: 'index';
      readonly mediaType: string;
      /** Of the manifests for a machine. */
      choose(architecture: string): string | undefined;
      readonly architectures: readonly string[];
    }
  | {
      readonly kind: 'image';
      readonly mediaType: string;
      /** Configuration and layers, each once. */
      readonly parts: readonly BlobDescriptor[];
      readonly layers: readonly LayerDescriptor[];
    };

export interface LayerDescriptor extends BlobDescriptor {
  /** Of the file that the layer is, in artifacts. */
  readonly title?: string;
}

/** For messages. */
export interface ImageName {
  readonly registry: string;
  readonly repository: string;
}

/** Reads a manifest or an index. Throws DepotError Invalid: it comes from a registry and may be anything. */
export function parseManifest(bytes: Buffer, image: ImageName, contentType = ''): ParsedManifest {
  const document = parseJson(bytes);
  const { manifests, layers, config, mediaType } = document ?? {};
  const type = typeof mediaType === 'string' ? mediaType : contentType.split(';')[0]?.trim();
  if (Array.isArray(manifests) && manifests.length <= mostParts) {
    return readIndex(manifests, indexTypes.find((one) => one === type) ?? (indexTypes[0] as string));
  }
  const parts = Array.isArray(layers) && layers.length <= mostParts ? [config, ...(layers as unknown[])] : [];
  const blobs = parts.map(readDescriptor);
  if (blobs.length === 0 || !blobs.every((blob) => blob !== undefined)) {
    throw new DepotError('Invalid', `${image.registry} has no image ${image.repository} that can be read`, {
      isLasting: true,
    });
  }
  const unique = new Map(blobs.map((blob) => [blob.digest, blob]));
  return {
    kind: 'image',
    mediaType: imageTypes.find((one) => one === type) ?? (imageTypes[0] as string),
    parts: [...unique.values()],
    layers: blobs.slice(1).map((blob, index) => withTitle(blob, (layers as unknown[])[index])),
  };
}

function readIndex(manifests: readonly unknown[], mediaType: string): ParsedManifest {
  const entries = manifests.flatMap((entry) => {
    const { digest, platform } = (entry ?? {}) as { digest?: unknown; platform?: Record<string, unknown> };
    const isRunnable = platform?.['os'] === 'linux' && typeof platform['architecture'] === 'string';
    if (!isRunnable || !digestPattern.test(String(digest))) return [];
    const { architecture, variant } = platform as { architecture: string; variant?: unknown };
    return [{ digest: String(digest), architecture, variant }];
  });
  return {
    kind: 'index',
    mediaType,
    architectures: [...new Set(entries.map((entry) => entry.architecture))].sort(),
    choose(architecture) {
      const fitting = entries.filter((entry) => entry.architecture === architecture);
      // Of the variants of arm the newest is what today's machines take.
      return (fitting.find(({ variant }) => variant === 'v7') ?? fitting[0])?.digest;
    },
  };
}

function readDescriptor(value: unknown): BlobDescriptor | undefined {
  const { digest, size } = (value ?? {}) as { digest?: unknown; size?: unknown };
  if (!digestPattern.test(String(digest))) return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  return { digest: String(digest), sizeBytes: size };
}

function withTitle(blob: BlobDescriptor, layer: unknown): LayerDescriptor {
  const { annotations } = layer as { annotations?: Record<string, unknown> | null };
  const title = annotations?.['org.opencontainers.image.title'];
  return typeof title === 'string' ? { ...blob, title: title.slice(0, longestTitle) } : blob;
}

function parseJson(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(bytes.toString('utf8')) as unknown;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
