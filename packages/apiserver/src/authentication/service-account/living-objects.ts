import type { ObjectStore } from '@selvedge/store';
import type { ObjectIdentity } from './service-account-user.ts';

export interface ObjectLife extends ObjectIdentity {
  /** As the store names it: `serviceaccounts`, `secrets`. */
  readonly resource: string;
  readonly namespace: string;
  /** What `data.token` of the Secret has to be. */
  readonly token?: string;
}

/**
 * Whether objects still live the life that a token was issued in. Asks the store itself each time, so that what was
 * deleted, here or by another hub, counts at once; an object that did not change since is not read again.
 */
export class LivingObjects {
  readonly #store: Pick<ObjectStore, 'find'>;
  /** The last revision at which an object was found alive. */
  readonly #seen = new WeakMap<ObjectLife, number>();

  constructor(store: Pick<ObjectStore, 'find'>) {
    this.#store = store;
  }

  async isAlive(life: ObjectLife): Promise<boolean> {
    const { resource, namespace, name, uid } = life;
    const stored = await this.#store.find({ resource, namespace, name });
    if (!stored) return false;
    if (this.#seen.get(life) === stored.revision) return true;
    const { metadata, data } = JSON.parse(stored.body) as {
      metadata: { uid?: string; deletionTimestamp?: string };
      data?: { token?: string };
    };
    // One that only waits for its finalizers is as good as gone.
    if (metadata.uid !== uid || metadata.deletionTimestamp !== undefined) return false;
    if (life.token !== undefined && data?.token !== Buffer.from(life.token).toString('base64')) return false;
    this.#seen.set(life, stored.revision);
    return true;
  }
}
