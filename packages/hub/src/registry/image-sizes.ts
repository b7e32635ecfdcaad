import { type Clock, type ImageReference, type Logger, parseImageReference } from '@selvedge/api';
import { Limiter } from '../concurrency/limiter.ts';
import { fetchImageLayers, type ImageLayer } from './image-layers.ts';
import type { ImageRepositories } from './image-repositories.ts';
import { RegistryAllowance } from './registry-allowance.ts';
import { RegistryError } from './registry-error.ts';

export type FoundLayers = { readonly layers: readonly ImageLayer[] } | { readonly unknown: string };

export interface ImageSizesOptions {
  readonly repositories: ImageRepositories;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SizedImage {
  /** Whose logins count. */
  readonly namespace: string;
  readonly image: string;
  /** As OCI names it. */
  readonly architecture: string;
}

const maxAtOnce = 4;
/** Whoever may plan chooses the names. */
const maxRegistries = 20;
const maxKept = 1_000;
/** Of all images that are kept. */
const maxLayersKept = 20_000;
/** A tag may be moved; a registry that could not be asked may come back. */
const keptMilliseconds = { found: 10 * 60_000, unknown: 60_000 };

interface Kept {
  until: number;
  /** Layers that it keeps in memory. */
  layers: number;
  readonly found: Promise<FoundLayers>;
}

/** What registries say of images; asked few at a time, and not again for a while. */
export class ImageSizes {
  readonly #options: ImageSizesOptions;
  readonly #limiter = new Limiter(maxAtOnce);
  readonly #allowance: RegistryAllowance;
  readonly #kept = new Map<string, Kept>();
  #layersKept = 0;

  constructor(options: ImageSizesOptions) {
    this.#options = options;
    this.#allowance = new RegistryAllowance(options.clock, maxRegistries);
  }

  /** Layers of an image. Never throws; after `signal` nothing more is asked. */
  async find({ namespace, image, architecture }: SizedImage, signal: AbortSignal): Promise<FoundLayers> {
    const reference = parseImageReference(image);
    if (reference === undefined) return { unknown: 'its name is none that a registry could be asked for' };
    // With the login of one namespace more can be read than with that of another.
    const key = `${namespace} ${architecture} ${image}`;
    const now = this.#options.clock.now().getTime();
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > now) return kept.found;
    const found = this.#ask({ namespace, image, architecture, reference }, signal);
    const entry: Kept = { until: now + keptMilliseconds.found, layers: 0, found };
    this.#keep(key, entry);
    const answer = await found;
    if (this.#kept.get(key) !== entry) return answer;
    if ('layers' in answer) this.#weigh(entry, answer.layers.length);
    // One that was cut short says nothing about the registry.
    else if (signal.aborted) this.#forget(key);
    else entry.until = now + keptMilliseconds.unknown;
    return answer;
  }

  async #ask(
    { namespace, image, architecture, reference }: SizedImage & { reference: ImageReference },
    signal: AbortSignal,
  ): Promise<FoundLayers> {
    const { registry } = reference;
    try {
      this.#allowance.take(reference.host);
      return await this.#limiter.run(async () => {
        if (signal.aborted) return { unknown: 'the registries took too long' };
        const repository = await this.#options.repositories.open({ namespace, image: reference }, signal);
        const request = { registry, reference: reference.reference, architecture, signal };
        return { layers: await fetchImageLayers(repository, request) };
      });
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
      this.#options.logger.debug('image not looked up', { image, reason: error.message, ...cause });
      return { unknown: signal.aborted ? 'the registries took too long' : error.message };
    }
  }

  #keep(key: string, entry: Kept): void {
    this.#forget(key);
    this.#kept.set(key, entry);
    if (this.#kept.size > maxKept) this.#forgetOldest();
  }

  #weigh(entry: Kept, layers: number): void {
    entry.layers = layers;
    this.#layersKept += layers;
    while (this.#layersKept > maxLayersKept) this.#forgetOldest();
  }

  #forgetOldest(): void {
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(key: string): void {
    this.#layersKept -= this.#kept.get(key)?.layers ?? 0;
    this.#kept.delete(key);
  }
}
