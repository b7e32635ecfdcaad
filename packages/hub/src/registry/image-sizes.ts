import type { Clock, Logger } from '@selvedge/api';
import { Limiter } from '../concurrency/limiter.ts';
import { type ImageReference, parseImageReference } from './image-reference.ts';
import {
  fetchImageLayers,
  type ImageLayer,
  ImageLookupError,
  type NamedRegistries,
} from './registry-client.ts';

export type FoundLayers = { readonly layers: readonly ImageLayer[] } | { readonly unknown: string };

export interface ImageSizesOptions {
  /** `host[:port]` of registries that speak http, and may be at any address. */
  readonly insecureRegistries: readonly string[];
  /** `host[:port]` of registries that speak https, and may be at any address. */
  readonly privateRegistries: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

const maxAtOnce = 4;
const maxKept = 1_000;
/** Of all images that are kept. */
const maxLayersKept = 20_000;
/** Whoever may plan chooses the names: the hub is not to knock at every door of its network for them. */
const maxRegistries = 20;
const registriesKeptMilliseconds = 10 * 60_000;
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
  readonly #named: NamedRegistries;
  readonly #limiter = new Limiter(maxAtOnce);
  /** Host → when it was last asked. */
  readonly #registries = new Map<string, number>();
  readonly #kept = new Map<string, Kept>();
  #layersKept = 0;

  constructor(options: ImageSizesOptions) {
    this.#options = options;
    this.#named = {
      insecure: new Set(options.insecureRegistries),
      private: new Set(options.privateRegistries),
    };
  }

  /** Layers of an image for an architecture as OCI names it. Never throws; after `signal` nothing more is asked. */
  async find(image: string, architecture: string, signal: AbortSignal): Promise<FoundLayers> {
    const reference = parseImageReference(image);
    if (reference === undefined) return { unknown: 'its name is none that a registry could be asked for' };
    const key = `${architecture} ${image}`;
    const now = this.#options.clock.now().getTime();
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > now) return kept.found;
    const found = this.#ask({ image, reference }, architecture, signal);
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
    { image, reference }: { image: string; reference: ImageReference },
    architecture: string,
    signal: AbortSignal,
  ): Promise<FoundLayers> {
    if (!this.#mayAsk(reference.host)) {
      return { unknown: `more than ${maxRegistries} registries were asked for within 10 minutes` };
    }
    try {
      return await this.#limiter.run(async () => {
        if (signal.aborted) return { unknown: 'the registries took too long' };
        return { layers: await fetchImageLayers(reference, { architecture, named: this.#named, signal }) };
      });
    } catch (error) {
      if (!(error instanceof ImageLookupError)) throw error;
      const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
      this.#options.logger.debug('image not looked up', { image, reason: error.message, ...cause });
      return { unknown: signal.aborted ? 'the registries took too long' : error.message };
    }
  }

  #mayAsk(host: string): boolean {
    const now = this.#options.clock.now().getTime();
    for (const [known, at] of this.#registries) {
      if (now - at >= registriesKeptMilliseconds) this.#registries.delete(known);
    }
    if (!this.#registries.has(host) && this.#registries.size >= maxRegistries) return false;
    this.#registries.set(host, now);
    return true;
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
