import { StatusError } from '@selvedge/api';
import type { Registry } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';

/** Each is some KiB in memory and on disk: more is a program that has run wild, or a reason to look at the machine. */
export const defaultMaxObjectsPerKind = 250_000;

const countEveryMs = 60_000;

interface Total {
  count: number;
  countedAt: number;
}

/**
 * Keeps the objects of each kind below a number, so that a client that creates without end does not fill memory and
 * disk. A guard, not an account: creations at the same time, and what another hub creates within a minute, may go
 * beyond it a little.
 */
export class ObjectTotals {
  readonly #store: Registry['store'];
  readonly #clock: Registry['clock'];
  readonly #max: number;
  readonly #totals = new Map<string, Total>();

  constructor({ store, clock }: Pick<Registry, 'store' | 'clock'>, max: number) {
    this.#store = store;
    this.#clock = clock;
    this.#max = max;
  }

  /** Throws `Forbidden` when there is no room for one more. */
  async require(resource: Resource, name: string): Promise<void> {
    const total = this.#totals.get(resource.name) ?? (await this.#countAnew(resource));
    const age = this.#nowMs() - total.countedAt;
    if (total.count < this.#max) {
      if (age > countEveryMs) this.#countSoon(resource, total);
      return;
    }
    // Others may have deleted some; who is refused again and again does not make us count each time.
    const { count } = age > 1_000 ? await this.#countAnew(resource) : total;
    if (count < this.#max) return;
    throw new StatusError(
      'Forbidden',
      `${resource.name} "${name}" is forbidden: the hub has ${count} ${resource.name} and takes no more than ` +
        `${this.#max} of one kind (--max-objects-per-kind): delete some, or raise the limit`,
      { details: { name, kind: resource.ref.plural } },
    );
  }

  created(resource: Resource): void {
    this.#add(resource, 1);
  }

  removed(resource: Resource): void {
    this.#add(resource, -1);
  }

  #add(resource: Resource, change: number): void {
    const total = this.#totals.get(resource.name);
    if (total) total.count += change;
  }

  /** Reads one object: the store knows how many come behind it. */
  async #countAnew(resource: Resource): Promise<Total> {
    const countedAt = this.#nowMs();
    const { objects, remaining } = await this.#store.list({ resource: resource.name, limit: 1 });
    const total = { count: objects.length + remaining, countedAt };
    this.#totals.set(resource.name, total);
    return total;
  }

  #countSoon(resource: Resource, total: Total): void {
    total.countedAt = this.#nowMs();
    // A store that cannot be read refuses the creation itself.
    this.#countAnew(resource).catch(() => undefined);
  }

  #nowMs(): number {
    return this.#clock.now().getTime();
  }
}
