import { DistributionError } from '../distribution-error.ts';
import { indexTypes, manifestTypes } from '../media-types.ts';
import type { Descriptor } from './registry-content.ts';

export interface ManifestContents {
  readonly mediaType: string;
  /** Digests of blobs that it needs: configuration and layers. */
  readonly blobs: readonly string[];
  /** Digests of manifests that it needs, of an index. */
  readonly manifests: readonly string[];
  readonly subject: string | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

const [ociIndex = ''] = indexTypes;
const [ociManifest = ''] = manifestTypes;
const known: ReadonlySet<string> = new Set([...indexTypes, ...manifestTypes]);
const digestPattern = /^sha256:[0-9a-f]{64}$/;
const mostParts = 5_000;
/** Docker's layers that are not to be stored: Windows base images. */
const foreignLayer = /\.foreign\.|nondistributable/;

/** Reads a manifest as image-spec 1.1 and Docker's schema 2 have it. Throws DistributionError. */
export function readManifest(bytes: Buffer, contentType?: string): ManifestContents {
  const document = parse(bytes);
  const mediaType = mediaTypeOf(document, contentType);
  const isIndex = indexTypes.includes(mediaType);
  const { annotations, artifactType, config } = document;
  const kind =
    typeof artifactType === 'string' ? artifactType : isObject(config) ? config['mediaType'] : undefined;
  return {
    mediaType,
    blobs: isIndex ? [] : blobsOf(document),
    manifests: isIndex ? listOf(document, 'manifests').map(digestOf) : [],
    subject: document['subject'] === undefined ? undefined : digestOf(document['subject']),
    artifactType: typeof kind === 'string' ? kind : undefined,
    annotations: stringsOf(annotations),
  };
}

/** How a manifest stands in a list of referrers. */
export function referrerOf(digest: string, bytes: Buffer, contents: ManifestContents): Descriptor {
  const { mediaType, artifactType, annotations } = contents;
  return {
    mediaType,
    digest,
    size: bytes.length,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function mediaTypeOf(document: Record<string, unknown>, contentType: string | undefined): string {
  const own = document['mediaType'];
  if (own !== undefined && (typeof own !== 'string' || !known.has(own)))
    throw unsupported(JSON.stringify(own));
  const inferred = own ?? ('manifests' in document ? ociIndex : ociManifest);
  if (document['schemaVersion'] !== 2) throw unsupported(`schema ${String(document['schemaVersion'])}`);
  const [declared = ''] = (contentType ?? inferred).split(';');
  if (declared.trim() === inferred) return inferred;
  if (!known.has(declared.trim())) throw unsupported(declared);
  throw invalid(`it says that it is ${inferred}, and was sent as ${declared.trim()}`);
}

function blobsOf(document: Record<string, unknown>): string[] {
  const layers = listOf(document, 'layers').filter(
    (layer) => !(isObject(layer) && foreignLayer.test(String(layer['mediaType']))),
  );
  return [digestOf(document['config']), ...layers.map(digestOf)];
}

function listOf(document: Record<string, unknown>, field: string): unknown[] {
  const list = document[field];
  if (!Array.isArray(list)) throw invalid(`${field} is missing`);
  if (list.length > mostParts) throw invalid(`it has more than ${mostParts} ${field}`);
  return list;
}

function digestOf(descriptor: unknown): string {
  const { digest, size } = isObject(descriptor) ? descriptor : {};
  if (typeof digest !== 'string' || !digestPattern.test(digest))
    throw invalid('a descriptor has no sha256 digest');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw invalid('a descriptor has no size');
  return digest;
}

function stringsOf(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined;
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return Object.fromEntries(entries);
}

function parse(bytes: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (isObject(value)) return value;
  } catch {
    // Said below.
  }
  throw invalid('it is no JSON object');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(why: string): DistributionError {
  return new DistributionError('MANIFEST_INVALID', `the manifest cannot be kept: ${why}`);
}

function unsupported(what: string): DistributionError {
  return invalid(
    `${what.slice(0, 100)} is not kept here; OCI image manifests and indexes are, and Docker's of schema 2`,
  );
}
