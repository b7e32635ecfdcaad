import { type Location, type OwnerKey, partsOf } from './owner.ts';

interface Owner {
  /** The one text that every dependent refers to. */
  readonly key: OwnerKey;
  /** Found living, and not seen deleted since. */
  isPresent: boolean;
  readonly dependents: Set<Location>;
}

const none: ReadonlySet<Location> = new Set();

/**
 * Which objects depend on which owners. Holds only objects that name an owner, and of them only where they live: an
 * object without owners costs nothing. It says what is worth a look, never what is to be deleted.
 */
export class DependencyGraph {
  readonly #ownersOf = new Map<Location, readonly Owner[]>();
  readonly #owners = new Map<OwnerKey, Owner>();

  get size(): number {
    return this.#ownersOf.size;
  }

  /** Sets what an object depends on; returns the owners that are new to it, and those that it had before. */
  put(
    location: Location,
    owners: readonly OwnerKey[],
  ): { added: readonly OwnerKey[]; before: readonly OwnerKey[] } {
    const before = this.#ownersOf.get(location) ?? [];
    const beforeKeys = before.map((owner) => owner.key);
    const added = owners.filter((key) => !beforeKeys.includes(key));
    for (const owner of before) if (!owners.includes(owner.key)) this.#unlink(owner, location);
    if (owners.length === 0) this.#ownersOf.delete(location);
    else if (added.length > 0 || owners.length !== before.length) {
      this.#ownersOf.set(
        location,
        owners.map((key) => this.#link(key, location)),
      );
    }
    return { added, before: beforeKeys };
  }

  dependentsOf(owner: OwnerKey): ReadonlySet<Location> {
    return this.#owners.get(owner)?.dependents ?? none;
  }

  isPresent(owner: OwnerKey): boolean {
    return this.#owners.get(owner)?.isPresent ?? false;
  }

  setPresent(key: OwnerKey, isPresent: boolean): void {
    const owner = this.#owners.get(key);
    if (owner) owner.isPresent = isPresent;
  }

  /** Every object of a resource that depends on something. */
  locationsOf(resource: string): Location[] {
    return [...this.#ownersOf.keys()].filter((location) => location.startsWith(`${resource}/`));
  }

  /** Every owner of a resource that something depends on. */
  ownersIn(resource: string): OwnerKey[] {
    return [...this.#owners.keys()].filter((key) => partsOf(key).location.startsWith(`${resource}/`));
  }

  #link(key: OwnerKey, location: Location): Owner {
    const owner = this.#owners.get(key) ?? { key, isPresent: false, dependents: new Set<Location>() };
    owner.dependents.add(location);
    this.#owners.set(key, owner);
    return owner;
  }

  #unlink(owner: Owner, location: Location): void {
    owner.dependents.delete(location);
    if (owner.dependents.size === 0) this.#owners.delete(owner.key);
  }
}
