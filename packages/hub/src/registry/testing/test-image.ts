import { sha256Digest } from '@selvedge/api/node';

export interface TestBlob {
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface TestImageParts {
  readonly blobs: readonly TestBlob[];
  readonly manifest: { readonly mediaType: string; readonly bytes: Buffer; readonly digest: string };
}

export const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
export const ociIndex = 'application/vnd.oci.image.index.v1+json';

export function blobOf(content: string | Buffer): TestBlob {
  const bytes = Buffer.from(content);
  return { digest: sha256Digest(bytes), bytes };
}

/** An image of these layers; `extra` goes into its manifest. */
export function imageOf(layers: readonly (string | Buffer)[], extra: object = {}): TestImageParts {
  const config = blobOf(JSON.stringify({ architecture: 'amd64', os: 'linux', layers: layers.length }));
  const blobs = layers.map(blobOf);
  const manifest = manifestOf(ociManifest, {
    config: descriptor('application/vnd.oci.image.config.v1+json', config),
    layers: blobs.map((blob) => descriptor('application/vnd.oci.image.layer.v1.tar', blob)),
    ...extra,
  });
  return { blobs: [config, ...blobs], manifest };
}

export function manifestOf(mediaType: string, document: object): TestImageParts['manifest'] {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }));
  return { mediaType, bytes, digest: sha256Digest(bytes) };
}

export function descriptor(mediaType: string, { digest, bytes }: TestBlob): object {
  return { mediaType, digest, size: bytes.length };
}
