import type { Clock, Logger } from '@selvedge/api';
import type { ObjectStore } from '@selvedge/store';
import type { Resource } from '../registry/resource-catalog.ts';
import { ResourceCache } from './resource-cache.ts';

export interface WatchCacheOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends all of it. */
  readonly signal: AbortSignal;
}

/** What is kept in memory of the store, resource by resource. */
export class WatchCache {
  readonly #options: WatchCacheOptions;
  readonly #caches = new Map<string, ResourceCache>();

  constructor(options: WatchCacheOptions) {
    this.#options = options;
  }

  of(resource: Resource): ResourceCache {
    const known = this.#caches.get(resource.name);
    if (known) return known;
    const logger = this.#options.logger.child({ component: 'watch-cache', resource: resource.name });
    const made = new ResourceCache({ ...this.#options, logger, resource });
    this.#caches.set(resource.name, made);
    return made;
  }

  /** Those in use, filled or not. */
  get started(): ResourceCache[] {
    return [...this.#caches.values()].filter((cache) => cache.isStarted);
  }

  /** Resolves when all that follows the store has ended, after the signal has fired. */
  async stopped(): Promise<void> {
    await Promise.all([...this.#caches.values()].map((cache) => cache.stopped()));
  }
}
