import { parseSealedId, type ScopedLogin, type SealedName } from '@selvedge/api';
import type { KeptLogins } from '../credentials/site-logins.ts';
import { applicationOf } from '../drivers/resolve-for-site.ts';
import type { ContentTrouble } from './compose-report.ts';
import type { ItemMemory } from './item-memory.ts';

/** What a RegistryCredential that is listed and has not arrived keeps a release from being prepared, at the longest. */
const longestWaitMs = 120_000;

/** Logins of RegistryCredentials, item by item: what is waited for before a release is prepared, and what is kept while one runs. */
export class ItemLogins {
  readonly #o: { readonly logins: KeptLogins; readonly monotonicMs: () => number };
  /** By id: since when one is waited for. */
  readonly #missingSinceMs = new Map<string, number>();

  constructor(options: { logins: KeptLogins; monotonicMs: () => number }) {
    this.#o = options;
  }

  /** For the driver: those of now, and those that the active release was given. */
  of(item: string, { logins }: ItemMemory): readonly ScopedLogin[] {
    return this.#o.logins.of(applicationOf(item).namespace, logins);
  }

  /**
   * Ids of those that a release to be prepared waits for: none of them that was waited for long enough while the hub was in touch, and none at
   * all while it is not.
   */
  awaited(item: string, { isInContact }: { isInContact: boolean }): readonly string[] {
    if (!isInContact) return [];
    const { here, missing } = this.#o.logins.listed(applicationOf(item).namespace);
    for (const id of here) this.#missingSinceMs.delete(id);
    const nowMs = this.#o.monotonicMs();
    return missing.filter((id) => {
      const sinceMs = this.#missingSinceMs.get(id) ?? nowMs;
      this.#missingSinceMs.set(id, sinceMs);
      return nowMs - sinceMs < longestWaitMs;
    });
  }

  /** Until the first of these has been waited for for long enough; infinite: there is none. */
  leftMs(awaited: readonly string[]): number {
    const nowMs = this.#o.monotonicMs();
    const left = awaited.map((id) => (this.#missingSinceMs.get(id) ?? nowMs) + longestWaitMs - nowMs);
    return Math.min(Number.POSITIVE_INFINITY, ...left);
  }

  /** Remembers what the active release was given: absence takes no login from it, until another release takes its place. */
  withGiven(item: string, memory: ItemMemory, before: ItemMemory): ItemMemory {
    const { logins: former = [], ...rest } = memory;
    if (rest.active === undefined) return rest;
    const kept = before.active?.digest === rest.active.digest ? former : [];
    const { here } = this.#o.logins.listed(applicationOf(item).namespace);
    const logins = [...new Set([...kept, ...here])].sort();
    return logins.length === 0 ? rest : { ...rest, logins };
  }

  /** Sealed values that have to stay here. */
  needed({ logins = [] }: ItemMemory): SealedName[] {
    return this.#o.logins.namesOf(logins);
  }
}

/** Why a release waits, for people. */
export function loginTrouble(
  ids: readonly string[],
  { sinceTime, troubleOf }: { sinceTime: string; troubleOf: (id: string) => string | undefined },
): ContentTrouble | undefined {
  if (ids.length === 0) return undefined;
  const each = ids.map((id) => {
    const why = troubleOf(id) ?? 'it is being fetched';
    return `RegistryCredential ${parseSealedId(id)?.name ?? id} has not arrived: ${why}`;
  });
  return { reason: 'SecretMissing', message: each.join('; '), sinceTime };
}
