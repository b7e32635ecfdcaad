import { isDeepStrictEqual } from 'node:util';
import { isConflict, isNotFound, isStatusError, type KubeObject, type Logger } from '@selvedge/api';
import { isHeld, withoutContentFinalizer } from '../admission/namespace-object.ts';
import { nowText } from './create.ts';
import { deleteCollection } from './delete-collection.ts';
import { type RemainingContent, withNamespaceConditions } from './namespace-conditions.ts';
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
    const emptying = this.#empty(namespace).finally(() => this.#emptying.delete(name));
    this.#emptying.set(name, emptying);
    // A namespace of the same name that was marked meanwhile has not been considered.
    void emptying.then(async () => {
      const next = await this.#find(name).catch(() => undefined);
      if (next && next.metadata.uid !== namespace.metadata.uid && !this.#registry.closing.aborted) {
        this.#consider(next);
      }
    });
  }

  async #empty(namespace: KubeObject): Promise<void> {
    const { clock, closing } = this.#registry;
    const { name } = namespace.metadata;
    for (let pause = firstPauseMs; !closing.aborted; pause = Math.min(pause * 2, longestPauseMs)) {
      try {
        if (await this.#emptyOnce(namespace)) return;
      } catch (error) {
        if (closing.aborted) return;
        this.#logger.warn('namespace could not be emptied, trying again', { object: name, error });
      }
      await clock.sleep(pause * (0.75 + Math.random() / 2), closing);
    }
  }

  /** Whether the namespace needs no more of us. */
  async #emptyOnce({ metadata: { name, uid } }: KubeObject): Promise<boolean> {
    // Another hub may have let it go, and people may have made it again: what is in that one is theirs.
    const isStill = async () => {
      const now = await this.#find(name);
      return now?.metadata.uid === uid && now?.metadata.deletionTimestamp !== undefined;
    };
    if (!(await isStill())) return true;
    const remaining = await this.#deleteContent(name, isStill);
    if (!(await isStill())) return true;
    const isEmpty = remaining.resources.size === 0 && remaining.failures.length === 0;
    return isEmpty ? this.#letGo(name, remaining) : this.#report(name, remaining);
  }

  /** Asks for the deletion of everything, as long as the namespace is the same; says what is still there. */
  async #deleteContent(namespace: string, isStill: () => Promise<boolean>): Promise<RemainingContent> {
    const registry = this.#registry;
    const remaining = {
      resources: new Map<string, number>(),
      finalizers: new Map<string, number>(),
      failures: [] as string[],
    };
    for (const resource of registry.catalog.all) {
      if (!resource.ref.namespaced || resource.source || resource.review) continue;
      try {
        const request = { query: { namespace }, propagationPolicy: 'Background', dryRun: false } as const;
        // What was listed while the namespace still stood belongs to it.
        await deleteCollection(registry, resource, { ...request, goOn: isStill });
        const { objects } = await registry.store.list({ resource: resource.name, namespace });
        if (objects.length === 0) continue;
        remaining.resources.set(`${resource.ref.plural}.${resource.ref.group}`, objects.length);
        for (const finalizer of objects.flatMap((stored) => decode(stored).metadata.finalizers ?? [])) {
          remaining.finalizers.set(finalizer, (remaining.finalizers.get(finalizer) ?? 0) + 1);
        }
      } catch (error) {
        // One kind that fails does not keep the others.
        if (registry.closing.aborted || !isStatusError(error)) throw error;
        remaining.failures.push(`${resource.name}: ${error.message}`);
      }
    }
    return remaining;
  }

  /** Tells people why the namespace is still there. Resolves to false: it needs more of us. */
  async #report(name: string, remaining: RemainingContent): Promise<false> {
    const namespace = await this.#find(name);
    if (namespace?.metadata.deletionTimestamp === undefined) return false;
    const object = withNamespaceConditions(namespace, remaining, nowText(this.#registry));
    if (isDeepStrictEqual(object, namespace)) return false;
    try {
      await storeChanged(this.#registry, this.#namespaces, { object, dryRun: false });
    } catch (error) {
      // It was written meanwhile: the next look says it.
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
    return false;
  }

  async #letGo(name: string, remaining: RemainingContent): Promise<boolean> {
    const namespace = await this.#find(name);
    if (namespace?.metadata.deletionTimestamp === undefined) return true;
    const emptied = withoutContentFinalizer(namespace);
    const isLast = !isHeld(this.#namespaces, emptied);
    const object = isLast ? emptied : withNamespaceConditions(emptied, remaining, nowText(this.#registry));
    // Finalizers of others hold it, ours is gone already.
    if (!isLast && isDeepStrictEqual(object, namespace)) return true;
    const write = isLast ? storeRemoved : storeChanged;
    try {
      await write(this.#registry, this.#namespaces, { object, dryRun: false });
      return true;
    } catch (error) {
      if (isNotFound(error)) return true;
      if (isConflict(error)) return false;
      throw error;
    }
  }

  async #find(name: string): Promise<KubeObject | undefined> {
    const stored = await this.#registry.store.find(keyOf(this.#namespaces, undefined, name));
    return stored && decode(stored);
  }
}
