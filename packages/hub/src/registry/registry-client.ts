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
const maxManifestBytes = 1024 * 1024;
const maxTokenBytes = 64 * 1024;
const maxLayers = 200;
const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** Registries whose tokens another host hands out, by `host[:port]`; those of all others do it themselves. */
const tokenHosts: Readonly<Record<string, string>> = {
  'registry-1.docker.io': 'auth.docker.io',
  'registry.gitlab.com': 'gitlab.com',
};

/** Registries that the operator named, by `host[:port]`: they may be at any address. */
export interface NamedRegistries {
  /** They speak http. */
  readonly insecure: ReadonlySet<string>;
  /** They speak https, and may hand out each other's tokens. */
  readonly private: ReadonlySet<string>;
}

export interface LayersRequest {
  /** As OCI names it: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly named: NamedRegistries;
  readonly signal: AbortSignal;
}

interface Lookup {
  readonly image: ImageReference;
  readonly named: NamedRegistries;
  readonly signal: AbortSignal;
  token: string | undefined;
}

/**
 * The layers of an image for one architecture, its configuration included: OCI distribution specification, only
 * `GET /v2/<name>/manifests/<reference>`, as nobody in particular (with a bearer token when the registry hands one out).
 * Throws ImageLookupError. Its message tells apart what a registry says of images, not why there was no answer: that would
 * describe the hub's network to whoever may choose the name.
 */
export async function fetchImageLayers(image: ImageReference, options: LayersRequest): Promise<ImageLayer[]> {
  const lookup: Lookup = { image, named: options.named, signal: options.signal, token: undefined };
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
  if (status !== 200) throw cannotBeAsked(image, new Error(`it answered ${status}`));
  if (reference.startsWith('sha256:') && sha256Digest(answer.body) !== reference) {
    throw cannotBeAsked(image, new Error('it answered something with another digest'));
  }
  const document = parseJson(answer.body);
  if (document === undefined) throw notUnderstood(image);
  return document;
}

async function ask(lookup: Lookup, reference: string): Promise<RegistryAnswer> {
  const { image, token, signal } = lookup;
  const url = new URL(`v2/${image.repository}/manifests/${reference}`, addressOf(lookup));
  const headers = { accept, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
  try {
    return await getFromRegistry(url, {
      headers,
      maxBytes: maxManifestBytes,
      isNamed: isNamed(lookup),
      signal,
    });
  } catch (cause) {
    throw cannotBeAsked(image, cause);
  }
}

function addressOf({ image, named }: Lookup): URL {
  return new URL(`${named.insecure.has(image.registry) ? 'http' : 'https'}://${image.host}/`);
}

function isNamed({ image, named }: Lookup): boolean {
  return named.insecure.has(image.registry) || named.private.has(image.registry);
}

/**
 * https://distribution.github.io/distribution/spec/auth/token: the registry says where. A registry may be anybody's: it must not
 * be able to send the hub elsewhere and be told the answer.
 */
async function fetchToken(lookup: Lookup, challenge: string): Promise<string> {
  const { image, signal } = lookup;
  const refused = new ImageLookupError(`${image.registry} asks for credentials`);
  const parameters = /^bearer\s+(.*)$/i.exec(challenge.slice(0, 2_000))?.[1] ?? '';
  const fields = new Map(
    [...parameters.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
  );
  const url = URL.parse(fields.get('realm') ?? '');
  if (!url || url.username !== '' || !mayHandOutTokens(lookup, url)) throw refused;
  const service = fields.get('service');
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', `repository:${image.repository}:pull`);
  let answer: RegistryAnswer;
  try {
    answer = await getFromRegistry(url, { maxBytes: maxTokenBytes, isNamed: isNamed(lookup), signal });
  } catch (cause) {
    throw cannotBeAsked(image, cause);
  }
  const document = answer.status === 200 ? parseJson(answer.body) : undefined;
  const token = document?.['token'] ?? document?.['access_token'];
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw refused;
  return token;
}

function mayHandOutTokens(lookup: Lookup, url: URL): boolean {
  const { image, named } = lookup;
  const own = addressOf(lookup);
  if (url.origin === own.origin) return true;
  if (url.protocol !== 'https:') return false;
  return (
    tokenHosts[own.host] === url.host || (named.private.has(image.registry) && named.private.has(url.host))
  );
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
    const isSize = typeof size === 'number' && Number.isSafeInteger(size) && size >= 0;
    if (typeof digest !== 'string' || !digestPattern.test(digest) || !isSize) throw notUnderstood(image);
    return { digest, sizeBytes: size };
  });
}

function cannotBeAsked(image: ImageReference, cause: unknown): ImageLookupError {
  return new ImageLookupError(`${image.registry} cannot be asked`, { cause });
}

function notUnderstood(image: ImageReference): ImageLookupError {
  return cannotBeAsked(image, new Error('it answered something that is no image manifest'));
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
