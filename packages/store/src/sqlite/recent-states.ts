import type { StoredObject } from '../object-store.ts';

const maxStates = 512;
const maxCharacters = 4 * 1024 * 1024;

/**
 * The states that were read or written last, by revision. A committed state never changes and no other gets its
 * revision, so what is found here is always right; only committed ones may come in.
 */
export class RecentStates {
  /** The one used last stands last. */
  readonly #states = new Map<number, StoredObject>();
  #characters = 0;

  find(revision: number): StoredObject | undefined {
    const found = this.#states.get(revision);
    if (found === undefined) return undefined;
    this.#states.delete(revision);
    this.#states.set(revision, found);
    return found;
  }

  keep(state: StoredObject): void {
    if (this.#states.has(state.revision)) return;
    this.#states.set(state.revision, state);
    this.#characters += state.body.length;
    for (const [revision, oldest] of this.#states) {
      if (this.#states.size <= maxStates && this.#characters <= maxCharacters) return;
      this.#states.delete(revision);
      this.#characters -= oldest.body.length;
    }
  }
}
