import { isConflict, isNotFound, type KubeObject, type ResourceQuota, resourceQuotas } from '@selvedge/api';
import { decode, encode } from '../registry/object-codec.ts';
import type { Registry } from '../registry/registry.ts';
import { countedResource } from './counted-resources.ts';
import { type Counts, excess, hardOf, usedOf, withUsed } from './quota-usage.ts';

type Books = Pick<Registry, 'store' | 'clock'>;

/** One object that comes (+1) or has gone (−1). */
interface Entry {
  readonly names: readonly string[];
  readonly change: 1 | -1;
  readonly resolve: (refusal: string | undefined) => void;
  readonly reject: (error: unknown) => void;
}

const maxAttempts = 20;

/**
 * Keeps the `status.used` of the quotas in one namespace. An object is entered before it is stored, by compare-and-set
 * on the quota, so two hubs cannot give away the same place; it is struck out when it is gone or could not be stored.
 * What is asked for at one time is written at once.
 */
export class NamespaceAccount {
  readonly #books: Books;
  readonly #namespace: string;
  #waiting: Entry[] = [];
  #turn: Promise<unknown> = Promise.resolve();
  #isTurnAsked = false;
  /** Entered, and on the way to the store. */
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(books: Books, namespace: string) {
    this.#books = books;
    this.#namespace = namespace;
  }

  /**
   * Enters an object, then runs `store`; when that fails the object is struck out. Resolves with the refusal when a
   * quota has no room.
   */
  async charge<T>(
    names: readonly string[],
    store: () => Promise<T>,
  ): Promise<{ stored: T } | { refusal: string }> {
    const refusal = await this.#enter(names, 1);
    if (refusal !== undefined) return { refusal };
    const storing = store();
    this.#underWay.add(storing);
    try {
      return { stored: await storing };
    } catch (error) {
      // A count that stays too high is put right when it is counted anew.
      await this.release(names).catch(() => undefined);
      throw error;
    } finally {
      this.#underWay.delete(storing);
    }
  }

  /** Strikes out an object that is gone. */
  async release(names: readonly string[]): Promise<void> {
    await this.#enter(names, -1);
  }

  /** What a quota would say of one object more now. */
  async findRefusal(names: readonly string[]): Promise<string | undefined> {
    for (const quota of await this.#quotas()) {
      const refusal = excess(quota, names, usedOf(quota) ?? (await this.#count(quota)));
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  }

  /**
   * Counts what is there and writes it, when nobody has entered anything since the quotas were at these revisions
   * (by name). What another hub had entered before should be stored by now. Whether it was done.
   */
  recount(revisions: ReadonlyMap<string, string | undefined>): Promise<boolean> {
    return this.#inTurn(async () => {
      await Promise.allSettled(this.#underWay);
      const quotas = await this.#quotas();
      const isSame = ({ metadata }: ResourceQuota) =>
        revisions.get(metadata.name) === metadata.resourceVersion;
      if (!quotas.every(isSame)) return false;
      for (const quota of quotas) {
        if (!(await this.#write(quota, await this.#count(quota)))) return false;
      }
      return true;
    });
  }

  async revisions(): Promise<ReadonlyMap<string, string | undefined>> {
    const quotas = await this.#quotas();
    return new Map(quotas.map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
  }

  /** Makes the status of quotas that have none, or none for their limits of now. */
  refresh(): Promise<void> {
    return this.#inTurn(async () => {
      for (const quota of await this.#quotas()) {
        if (!usedOf(quota)) await this.#write(quota, await this.#countSettled(quota));
      }
    });
  }

  #enter(names: readonly string[], change: 1 | -1): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ names, change, resolve, reject });
      if (this.#isTurnAsked) return;
      this.#isTurnAsked = true;
      void this.#inTurn(() => this.#settle());
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #settle(): Promise<void> {
    const entries = this.#waiting;
    this.#waiting = [];
    this.#isTurnAsked = false;
    try {
      const refusals = await this.#decide(entries);
      for (const [i, { resolve }] of entries.entries()) resolve(refusals[i]);
    } catch (error) {
      for (const { reject } of entries) reject(error);
    }
  }

  /** For each entry the refusal, if any; the others are written. */
  async #decide(entries: readonly Entry[]): Promise<(string | undefined)[]> {
    /** What attempts that met another writer have written already, by quota. */
    const written = new Map<string, Counts>();
    for (let attempt = 1; ; attempt++) {
      const quotas = await this.#quotas();
      const sheets = await Promise.all(quotas.map((quota) => this.#sheetOf(quota, written)));
      const refusals = entries.map((entry) => enterInto(sheets, entry));
      if (await this.#writeAll(sheets, written)) return refusals;
      if (attempt === maxAttempts) throw new Error('a quota is changed by others all the time');
    }
  }

  async #sheetOf(quota: ResourceQuota, written: ReadonlyMap<string, Counts>): Promise<Sheet> {
    const known = usedOf(quota) ?? (await this.#countSettled(quota));
    const mine = written.get(quota.metadata.uid ?? '');
    const used = new Map([...known].map(([name, count]) => [name, count - (mine?.get(name) ?? 0)]));
    return { quota, before: new Map(used), used };
  }

  async #writeAll(sheets: readonly Sheet[], written: Map<string, Counts>): Promise<boolean> {
    for (const { quota, before, used } of sheets) {
      if (!(await this.#write(quota, used))) return false;
      const changes = [...used].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const);
      written.set(quota.metadata.uid ?? '', new Map(changes));
    }
    return true;
  }

  /** False: the quota is not as it was read. */
  async #write(quota: ResourceQuota, used: Counts): Promise<boolean> {
    const known = usedOf(quota);
    if (known && [...used].every(([name, count]) => known.get(name) === count)) return true;
    const key = { resource: resourceQuotas.plural, namespace: this.#namespace, name: quota.metadata.name };
    const object: KubeObject = withUsed(quota, used);
    try {
      await this.#books.store.update(key, encode(object), Number(quota.metadata.resourceVersion));
      return true;
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return false;
      throw error;
    }
  }

  async #quotas(): Promise<ResourceQuota[]> {
    const query = { resource: resourceQuotas.plural, namespace: this.#namespace };
    return (await this.#books.store.list(query)).objects.map((stored) => decode(stored) as ResourceQuota);
  }

  async #countSettled(quota: ResourceQuota): Promise<Counts> {
    await Promise.allSettled(this.#underWay);
    return this.#count(quota);
  }

  async #count(quota: ResourceQuota): Promise<Counts> {
    const names = [...hardOf(quota).keys()];
    const counts = await Promise.all(
      names.map(async (name) => {
        const resource = countedResource(name) ?? '';
        const query = { resource, namespace: this.#namespace, limit: 1 };
        const { objects, remaining } = await this.#books.store.list(query);
        return [name, objects.length + remaining] as const;
      }),
    );
    return new Map(counts);
  }
}

/** A quota with what is used of it when the entries so far are in. */
interface Sheet {
  readonly quota: ResourceQuota;
  readonly before: Counts;
  readonly used: Map<string, number>;
}

/** The refusal of the first quota that has no room; else the entry is in all of them. */
function enterInto(sheets: readonly Sheet[], { names, change }: Entry): string | undefined {
  if (change === 1) {
    for (const { quota, used } of sheets) {
      const refusal = excess(quota, names, used);
      if (refusal !== undefined) return refusal;
    }
  }
  for (const { used } of sheets) {
    for (const name of names) {
      const count = used.get(name);
      if (count !== undefined) used.set(name, Math.max(0, count + change));
    }
  }
  return undefined;
}
