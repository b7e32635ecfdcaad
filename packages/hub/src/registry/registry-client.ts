import { sha256Digest } from '@selvedge/api/node';
import type { ImageReference } from './image-reference.ts';
import { getFromRegistry, type RegistryAnswer } from './registry-request.ts';

/** A part of an image, as it is stored and fetched. */
export interface ImageLayer {
  readonly digest: string;
  /** As it is fetched: compressed. */
  readonly sizeBytes: number;
}

/** Why the layers of an image are not known; `message` is for people, and names no address but the registry's. */
export class ImageLookupError extends Error {
  override readonly name = 'ImageLookupError';
}

const indexTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const manifestTypes = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];
const accept = [...indexTypes, ...manifestTypes].join(', ');
const maxManifestBytes = 4 * 1024 * 1024;
const maxTokenBytes = 64 * 1024;
const maxLayers = 1_000;

interface Lookup {
  readonly image: ImageReference;
  readonly isTrusted: boolean;
  readonly signal: AbortSignal;
  token: string | undefined;
}

/**
 * The layers of an image for one architecture (`amd64`, `arm64`), its configuration included: OCI distribution
 * specification, only `GET /v2/<name>/manifests/<reference>`, as nobody in particular (with a bearer token when the registry
 * hands one out). `isTrusted`: http instead of https. Throws ImageLookupError.
 */
export async function fetchImageLayers(
  image: ImageReference,
  options: { architecture: string; isTrusted: boolean; signal: AbortSignal },
): Promise<ImageLayer[]> {
  const lookup: Lookup = { image, isTrusted: options.isTrusted, signal: options.signal, token: undefined };
  const first = await fetchManifest(lookup, image.reference);
  if (!Array.isArray(first['manifests'])) return layersOf(image, first);
  const chosen = chooseManifest(first['manifests'], options.architecture);
  if (chosen === undefined) {
    throw new ImageLookupError(
      `${image.registry} has it for other architectures than ${options.architecture}`,
    );
  }
  return layersOf(image, await fetchManifest(lookup, chosen));
}

async function fetchManifest(lookup: Lookup, reference: string): Promise<Record<string, unknown>> {
  const { image } = lookup;
  let answer = await ask(lookup, reference);
  if (answer.status === 401 && lookup.token === undefined) {
    lookup.token = await fetchToken(lookup, answer.headers['www-authenticate'] ?? '');
    answer = await ask(lookup, reference);
  }
  const { status } = answer;
  if (status === 401 || status === 403) throw new ImageLookupError(`${image.registry} asks for credentials`);
  if (status === 404) throw new ImageLookupError(`${image.registry} has no such image`);
  if (status === 429) throw new ImageLookupError(`${image.registry} wants fewer questions now`);
  if (status !== 200) throw new ImageLookupError(`${image.registry} answered ${status}`);
  if (reference.startsWith('sha256:') && sha256Digest(answer.body) !== reference) {
    throw new ImageLookupError(`${image.registry} answered something with another digest`);
  }
  const document = parseJson(answer.body);
  if (document === undefined) throw notUnderstood(image);
  return document;
}

async function ask({ image, isTrusted, token, signal }: Lookup, reference: string): Promise<RegistryAnswer> {
  const scheme = isTrusted ? 'http' : 'https';
  const url = new URL(`${scheme}://${image.host}/v2/${image.repository}/manifests/${reference}`);
  const headers = { accept, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  try {
    return await getFromRegistry(url, { headers, maxBytes: maxManifestBytes, isTrusted, signal });
  } catch (cause) {
    throw new ImageLookupError(`${image.registry} cannot be asked`, { cause });
  }
}

/** https://distribution.github.io/distribution/spec/auth/token: the registry says where; only https, or its own host. */
async function fetchToken(lookup: Lookup, challenge: string): Promise<string> {
  const { image, isTrusted, signal } = lookup;
  const refused = new ImageLookupError(`${image.registry} asks for credentials`);
  const parameters = /^bearer\s+(.*)$/i.exec(challenge.slice(0, 2_000))?.[1] ?? '';
  const fields = new Map(
    [...parameters.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
  );
  const url = URL.parse(fields.get('realm') ?? '');
  const isOwnHost = isTrusted && url?.protocol === 'http:' && url.host === image.host;
  if (!url || url.username !== '' || !(url.protocol === 'https:' || isOwnHost)) throw refused;
  const service = fields.get('service');
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', `repository:${image.repository}:pull`);
  let answer: RegistryAnswer;
  try {
    answer = await getFromRegistry(url, { maxBytes: maxTokenBytes, isTrusted: isOwnHost, signal });
  } catch (cause) {
    throw new ImageLookupError(`${image.registry} cannot be asked`, { cause });
  }
  const document = answer.status === 200 ? parseJson(answer.body) : undefined;
  const token = document?.['token'] ?? document?.['access_token'];
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw refused;
  return token;
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

function layersOf(image: ImageReference, manifest: Record<string, unknown>): ImageLayer[] {
  const { config, layers } = manifest;
  if (!Array.isArray(layers) || layers.length > maxLayers) throw notUnderstood(image);
  return [config, ...(layers as unknown[])].map((layer) => {
    if (!isRecord(layer)) throw notUnderstood(image);
    const { digest, size } = layer;
    if (typeof digest !== 'string' || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
      throw notUnderstood(image);
    }
    return { digest, sizeBytes: size };
  });
}

function notUnderstood(image: ImageReference): ImageLookupError {
  return new ImageLookupError(`${image.registry} answered something that is no image manifest`);
}

function parseJson(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
