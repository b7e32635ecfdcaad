import { StatusError, type KubeObject, notFound, namespaces } from '@selvedge/api';
import type { ObjectStore } from '@selvedge/store';

/**
 * Lets objects be created in living namespaces only, and knows which creations are under way, so that a namespace is
 * not taken for empty while one of them is between check and store.
 */
export class NamespaceGate {
  readonly #store: ObjectStore;
  readonly #entered = new Map<string, Set<Promise<unknown>>>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** Runs a creation inside the namespace. Throws `NotFound`, or `Forbidden` when it is being deleted. */
  async enter<T>(namespace: string, create: () => Promise<T>): Promise<T> {
    const inside = this.#inside(namespace);
    const creation = this.#check(namespace).then(create);
    inside.add(creation);
    try {
      return await creation;
    } finally {
      inside.delete(creation);
      if (inside.size === 0) this.#entered.delete(namespace);
    }
  }

  /** Resolves when every creation that had begun is over. */
  async settled(namespace: string): Promise<void> {
    const inside = this.#entered.get(namespace);
    if (inside) await Promise.allSettled(inside);
  }

  #inside(namespace: string): Set<Promise<unknown>> {
    const inside = this.#entered.get(namespace) ?? new Set();
    this.#entered.set(namespace, inside);
    return inside;
  }

  async #check(name: string): Promise<void> {
    const stored = await this.#store.find({ resource: namespaces.plural, namespace: '', name });
    if (!stored) throw notFound(namespaces, name);
    const object = JSON.parse(stored.body) as KubeObject;
    if (object.metadata.deletionTimestamp === undefined) return;
    throw new StatusError(
      'Forbidden',
      `unable to create new content in namespace ${name} because it is being terminated`,
      { details: { name, kind: namespaces.plural } },
    );
  }
}
