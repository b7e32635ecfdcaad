import type { Clock, Logger } from '@selvedge/api';
import { Limiter } from '../concurrency/limiter.ts';
import { parseImageReference } from './image-reference.ts';
import { fetchImageLayers, type ImageLayer, ImageLookupError } from './registry-client.ts';

export type FoundLayers = { readonly layers: readonly ImageLayer[] } | { readonly unknown: string };

export interface ImageSizesOptions {
  /** `host[:port]` of registries that speak http, and may be at an address of this machine. */
  readonly insecureRegistries: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

const maxAtOnce = 4;
const maxKept = 1_000;
/** Whoever may plan chooses the names: the hub is not to knock at every door of its network for them. */
const maxRegistries = 20;
const registriesKeptMilliseconds = 10 * 60_000;
/** A tag may be moved; a registry that could not be asked may come back. */
const keptMilliseconds = { found: 10 * 60_000, unknown: 60_000 };

/** What registries say of images; asked few at a time, and not again for a while. */
export class ImageSizes {
  readonly #options: ImageSizesOptions;
  readonly #insecure: ReadonlySet<string>;
  readonly #limiter = new Limiter(maxAtOnce);
  /** Host → when it was last asked. */
  readonly #registries = new Map<string, number>();
  readonly #kept = new Map<string, { until: number; found: Promise<FoundLayers> }>();

  constructor(options: ImageSizesOptions) {
    this.#options = options;
    this.#insecure = new Set(options.insecureRegistries);
  }

  /** Layers of an image for an architecture as OCI names it. Never throws; after `signal` nothing more is asked. */
  find(image: string, architecture: string, signal: AbortSignal): Promise<FoundLayers> {
    const key = `${architecture} ${image}`;
    const now = this.#options.clock.now().getTime();
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > now) return kept.found;
    const entry = { until: now + keptMilliseconds.found, found: this.#ask(image, architecture, signal) };
    this.#keep(key, entry);
    void entry.found.then((found) => {
      if ('layers' in found) return;
      // One that was cut short says nothing about the registry.
      if (signal.aborted) this.#kept.delete(key);
      else entry.until = now + keptMilliseconds.unknown;
    });
    return entry.found;
  }

  async #ask(image: string, architecture: string, signal: AbortSignal): Promise<FoundLayers> {
    const reference = parseImageReference(image);
    if (reference === undefined) return { unknown: 'its name is none that a registry could be asked for' };
    if (!this.#mayAsk(reference.host)) {
      return { unknown: `more than ${maxRegistries} registries were asked for within 10 minutes` };
    }
    const isTrusted = this.#insecure.has(reference.registry);
    try {
      return await this.#limiter.run(async () => {
        if (signal.aborted) return { unknown: 'the registries took too long' };
        return { layers: await fetchImageLayers(reference, { architecture, isTrusted, signal }) };
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

  #keep(key: string, entry: { until: number; found: Promise<FoundLayers> }): void {
    this.#kept.delete(key);
    this.#kept.set(key, entry);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > maxKept && oldest !== undefined) this.#kept.delete(oldest);
  }
}
