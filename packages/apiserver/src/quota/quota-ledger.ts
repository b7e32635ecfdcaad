import {
  type KubeObject,
  resourceName,
  type ResourceQuota,
  resourceQuotas,
  StatusError,
} from '@selvedge/api';
import { followResource } from '../registry/follow-resource.ts';
import type { Registry } from '../registry/registry.ts';
import type { Resource } from '../registry/resource-catalog.ts';
import { quotaNamesOf } from './counted-resources.ts';
import { NamespaceAccount } from './namespace-account.ts';
import { usedOf } from './quota-usage.ts';

type Books = Pick<Registry, 'store' | 'clock' | 'logger' | 'closing'>;

/** In which another hub stores what it has entered. */
const graceMs = 2_000;
const recountEveryMs = 10 * 60_000;

/**
 * Lets a namespace have no more objects than its ResourceQuotas allow. In namespaces without one, creation costs a look
 * into a map. A hub that dies between entering an object and storing it leaves a count that is too high; counting anew,
 * at the start and every ten minutes, puts that right.
 */
export class QuotaLedger {
  readonly #books: Books;
  /** By namespace and name of the quota: the names that it limits. */
  readonly #limits = new Map<string, Map<string, ReadonlySet<string>>>();
  readonly #accounts = new Map<string, NamespaceAccount>();
  #following: Promise<unknown> = Promise.resolve();

  constructor(books: Books) {
    this.#books = { ...books, logger: books.logger.child({ component: 'quota' }) };
  }

  /** Resolves when all quotas are known; follows them until the server closes. */
  async start(): Promise<void> {
    const { closing } = this.#books;
    const filled = Promise.withResolvers<void>();
    const following = followResource(this.#books, resourceName(resourceQuotas), {
      replace: (quotas) => {
        this.#limits.clear();
        for (const quota of quotas) this.#put(quota);
        filled.resolve();
      },
      put: (quota) => this.#put(quota),
      remove: ({ metadata: { namespace = '', name } }) => this.#remove(namespace, name),
    });
    this.#following = Promise.all([following, filled.promise.then(() => this.#recountPeriodically())]);
    closing.addEventListener('abort', () => filled.resolve(), { once: true });
    await filled.promise;
  }

  async stopped(): Promise<void> {
    await this.#following;
  }

  /** Runs `store`, which creates the object, if the namespace has room for it; throws `Forbidden` if not. */
  async charge<T>(
    resource: Resource,
    { object, dryRun }: { object: KubeObject; dryRun: boolean },
    store: () => Promise<T>,
  ): Promise<T> {
    const { namespace = '', name } = object.metadata;
    const names = this.#limitedNames(resource, namespace);
    if (names.length === 0) return store();
    const account = this.#account(namespace);
    if (dryRun) {
      const refusal = await account.findRefusal(names);
      if (refusal !== undefined) throw forbidden(resource, name, refusal);
      return store();
    }
    const result = await account.charge(names, store);
    if ('refusal' in result) throw forbidden(resource, name, result.refusal);
    return result.stored;
  }

  /** An object is gone. Returns at once; what goes wrong is put right when it is counted anew. */
  release(resource: Resource, namespace: string | undefined): void {
    if (!namespace) return;
    const names = this.#limitedNames(resource, namespace);
    if (names.length === 0) return;
    this.#account(namespace)
      .release(names)
      .catch((error: unknown) => this.#warn(namespace, error));
  }

  #limitedNames(resource: Resource, namespace: string): readonly string[] {
    const quotas = this.#limits.get(namespace);
    if (!quotas) return [];
    const names = quotaNamesOf(resource.ref);
    return names.filter((name) => [...quotas.values()].some((limited) => limited.has(name)));
  }

  #account(namespace: string): NamespaceAccount {
    const account = this.#accounts.get(namespace) ?? new NamespaceAccount(this.#books, namespace);
    this.#accounts.set(namespace, account);
    return account;
  }

  #put(object: KubeObject): void {
    const quota = object as ResourceQuota;
    const { namespace = '', name } = quota.metadata;
    const quotas = this.#limits.get(namespace) ?? new Map<string, ReadonlySet<string>>();
    this.#limits.set(namespace, quotas.set(name, new Set(Object.keys(quota.spec?.hard ?? {}))));
    if (usedOf(quota)) return;
    this.#account(namespace)
      .refresh()
      .catch((error: unknown) => this.#warn(namespace, error));
  }

  #remove(namespace: string, name: string): void {
    const quotas = this.#limits.get(namespace);
    quotas?.delete(name);
    if (quotas?.size !== 0) return;
    this.#limits.delete(namespace);
    this.#accounts.delete(namespace);
  }

  async #recountPeriodically(): Promise<void> {
    const { clock, closing } = this.#books;
    while (!closing.aborted) {
      for (const namespace of this.#limits.keys()) {
        if (closing.aborted) return;
        await this.#recount(namespace).catch((error: unknown) => this.#warn(namespace, error));
      }
      await clock.sleep(recountEveryMs * (0.75 + Math.random() / 2), closing);
    }
  }

  /** In a busy namespace it is left for the next time. */
  async #recount(namespace: string): Promise<void> {
    const { clock, closing } = this.#books;
    const account = this.#account(namespace);
    const revisions = await account.revisions();
    await clock.sleep(graceMs, closing);
    if (!closing.aborted) await account.recount(revisions);
  }

  #warn(namespace: string, error: unknown): void {
    if (this.#books.closing.aborted) return;
    this.#books.logger.warn('the use of a quota could not be written', { object: namespace, error });
  }
}

function forbidden({ name: resource, ref }: Resource, name: string, why: string): StatusError {
  return new StatusError('Forbidden', `${resource} "${name}" is forbidden: ${why}`, {
    details: { name, ...(ref.group ? { group: ref.group } : {}), kind: ref.plural },
  });
}
