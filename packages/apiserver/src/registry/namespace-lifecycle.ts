import { isDeepStrictEqual } from 'node:util';
import { isConflict, isNotFound, type KubeObject, type Logger } from '@selvedge/api';
import { isHeld, withoutContentFinalizer } from '../admission/namespace-object.ts';
import { deleteCollection } from './delete-collection.ts';
import { decode, keyOf } from './object-codec.ts';
import type { Registry } from './registry.ts';
import type { Resource } from './resource-catalog.ts';
import { storeChanged, storeRemoved } from './store-object.ts';

const firstPauseMs = 50;
const longestPauseMs = 5_000;

/**
 * Empties namespaces that are being deleted, then lets them go. Looks at what is, not at what happened, so it goes on
 * where it was after a restart.
 */
export class NamespaceLifecycle {
  readonly #registry: Registry;
  readonly #namespaces: Resource;
  readonly #logger: Logger;
  readonly #emptying = new Map<string, Promise<void>>();

  constructor(registry: Registry, namespaceResource: Resource) {
    this.#registry = registry;
    this.#namespaces = namespaceResource;
    this.#logger = registry.logger.child({ component: 'namespace-lifecycle' });
  }

  /** Runs until the server closes. */
  async run(): Promise<void> {
    const { closing, clock } = this.#registry;
    while (!closing.aborted) {
      try {
        await this.#follow();
      } catch (error) {
        if (closing.aborted) break;
        this.#logger.warn('watch of namespaces failed', { error });
        await clock.sleep(longestPauseMs * (0.5 + Math.random()), closing);
      }
    }
    await Promise.allSettled(this.#emptying.values());
  }

  async #follow(): Promise<void> {
    const { store, closing } = this.#registry;
    const { objects, revision } = await store.list({ resource: this.#namespaces.name });
    for (const stored of objects) this.#consider(decode(stored));
    const query = { resource: this.#namespaces.name, fromRevision: revision, signal: closing };
    for await (const event of store.watch(query)) {
      if (event.type === 'put') this.#consider(decode(event.object));
    }
  }

  #consider(namespace: KubeObject): void {
    const { name, deletionTimestamp } = namespace.metadata;
    if (deletionTimestamp === undefined || this.#emptying.has(name)) return;
    const emptying = this.#empty(name).finally(() => this.#emptying.delete(name));
    this.#emptying.set(name, emptying);
  }

  async #empty(name: string): Promise<void> {
    const { clock, closing } = this.#registry;
    for (let pause = firstPauseMs; !closing.aborted; pause = Math.min(pause * 2, longestPauseMs)) {
      try {
        if (await this.#emptyOnce(name)) return;
      } catch (error) {
        if (closing.aborted) return;
        this.#logger.warn('namespace could not be emptied, trying again', { object: name, error });
      }
      await clock.sleep(pause * (0.75 + Math.random() / 2), closing);
    }
  }

  /** Whether the namespace needs no more of us. */
  async #emptyOnce(name: string): Promise<boolean> {
    const registry = this.#registry;
    // Whoever passed the check before the namespace was marked may still be on the way to the store.
    await registry.namespaces.settled(name);
    let remaining = 0;
    for (const resource of registry.catalog.all) {
      if (!resource.ref.namespaced || resource.source || resource.review) continue;
      await deleteCollection(registry, resource, { query: { namespace: name }, dryRun: false });
      const left = await registry.store.list({ resource: resource.name, namespace: name, limit: 1 });
      remaining += left.objects.length;
    }
    return remaining === 0 && (await this.#letGo(name));
  }

  async #letGo(name: string): Promise<boolean> {
    const stored = await this.#registry.store.find(keyOf(this.#namespaces, undefined, name));
    if (!stored) return true;
    const namespace = decode(stored);
    if (namespace.metadata.deletionTimestamp === undefined) return true;
    const object = withoutContentFinalizer(namespace);
    const write = isHeld(this.#namespaces, object) ? storeChanged : storeRemoved;
    // Finalizers of others hold it, ours is gone already.
    if (write === storeChanged && isDeepStrictEqual(object, namespace)) return true;
    try {
      await write(this.#registry, this.#namespaces, { object, dryRun: false });
      return true;
    } catch (error) {
      if (isNotFound(error)) return true;
      if (isConflict(error)) return false;
      throw error;
    }
  }
}
