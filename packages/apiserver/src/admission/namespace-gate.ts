import {
  type FieldError,
  isConflict,
  type KubeObject,
  namespaces,
  notFound,
  StatusError,
} from '@selvedge/api';
import type { ObjectKey, ObjectStore, WriteCondition } from '@selvedge/store';

/** How often a creation is tried again because its namespace changed meanwhile (a label, an annotation). */
const maxAttempts = 10;
const maxRemembered = 10_000;

/**
 * Lets objects be created in living namespaces only, whoever else serves the same store: a creation holds only while
 * the namespace is in the state that was looked at, so none is born behind the back of one that is being emptied.
 */
export class NamespaceGate {
  readonly #store: ObjectStore;
  /** Revisions at which namespaces were seen living. May be old: the condition of the write finds out. */
  readonly #living = new Map<string, number>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /**
   * Throws `NotFound` when there is no such namespace, `Forbidden` when it is being deleted. `fresh`: looks again, and
   * does not rely on what was seen before.
   */
  async check(namespace: string, { fresh }: { fresh: boolean }): Promise<void> {
    if (fresh || !this.#living.has(namespace)) await this.#look(namespace);
  }

  /** Makes a creation that depends on the namespace. Throws as `check` does, and what `create` throws. */
  async createIn<T>(namespace: string, create: (condition: WriteCondition) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const revision = this.#living.get(namespace) ?? (await this.#look(namespace));
      try {
        return await create({ key: keyOf(namespace), revision });
      } catch (error) {
        if (!isConflict(error)) throw error;
        this.#living.delete(namespace);
        if (attempt === maxAttempts) throw error;
      }
    }
  }

  async #look(name: string): Promise<number> {
    const stored = await this.#store.find(keyOf(name));
    const object = stored && (JSON.parse(stored.body) as KubeObject);
    if (stored && object?.metadata.deletionTimestamp === undefined) {
      // What was seen of namespaces that are gone is not worth more bookkeeping.
      if (this.#living.size >= maxRemembered) this.#living.clear();
      this.#living.set(name, stored.revision);
      return stored.revision;
    }
    this.#living.delete(name);
    throw stored ? terminating(name) : notFound(namespaces, name);
  }
}

const keyOf = (name: string): ObjectKey => ({ resource: namespaces.plural, namespace: '', name });

function terminating(name: string): StatusError {
  const why = `unable to create new content in namespace ${name} because it is being terminated`;
  const cause: FieldError = {
    reason: 'NamespaceTerminating',
    field: 'metadata.namespace',
    message: `namespace ${name} is being terminated`,
  };
  return new StatusError('Forbidden', why, { details: { name, kind: namespaces.plural, causes: [cause] } });
}
