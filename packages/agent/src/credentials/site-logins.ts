import {
  findForRepository,
  parseSealedId,
  type RegistryCredentialValue,
  type ScopedLogin,
  type SealedName,
} from '@selvedge/api';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import type { SealedStore } from './sealed-store.ts';

export interface LoginRequest {
  /** Of the application that needs the image. */
  readonly namespace: string;
  /** `registry[:port]/path`, as `imageRepository` writes it. */
  readonly repository: string;
  /** The registry refused the one that was given before. */
  readonly isRefused?: boolean;
  readonly signal: AbortSignal;
}

/** Logins that the hub lets this site have. */
export interface SiteLogins {
  /**
   * Undefined: none opens the repository, so it is asked without one. One that expires soon is asked for anew at the hub first, when that answers within some seconds;
   * else the one that is here is given.
   */
  find(request: LoginRequest): Promise<{ username: string; password: string } | undefined>;
}

/** Longest wait for a fresh login while an old one is here. */
const longestRefreshMs = 15_000;

/** When a value has to be asked for again: at two thirds of what was left of its life when it came. Undefined: never. */
export function renewalTime(value: RegistryCredentialValue, fetchedAt: Date): Date | undefined {
  if (value.expiresAt === undefined) return undefined;
  const expiresAt = Date.parse(value.expiresAt);
  if (Number.isNaN(expiresAt)) return undefined;
  return new Date(fetchedAt.getTime() + ((expiresAt - fetchedAt.getTime()) * 2) / 3);
}

export class KeptLogins implements SiteLogins {
  readonly #o: { store: SealedStore; clock: HubClock; listed: () => readonly SealedName[] };
  #refresh: ((name: SealedName, signal: AbortSignal) => Promise<void>) | undefined;
  #findKept: () => readonly string[] = () => [];

  /** @param options.listed what the accepted state lists. */
  constructor(options: { store: SealedStore; clock: HubClock; listed: () => readonly SealedName[] }) {
    this.#o = options;
  }

  /** How one is asked for anew; until then what is here is given. Resolves when it is here, rejects when the hub does not give it. */
  onRefresh(refresh: (name: SealedName, signal: AbortSignal) => Promise<void>): void {
    this.#refresh = refresh;
  }

  /** Ids of RegistryCredentials that something that runs here was given: they serve on when the hub lists them no more. */
  onKept(findKept: () => readonly string[]): void {
    this.#findKept = findKept;
  }

  async find({
    namespace,
    repository,
    isRefused = false,
    signal,
  }: LoginRequest): Promise<{ username: string; password: string } | undefined> {
    const listed = this.#listedIn(namespace);
    const name = this.#nameFor(listed, repository);
    if (name === undefined) {
      const kept = this.#nameFor(this.#keptIn(namespace, this.#findKept()), repository);
      return kept && this.#loginOf(kept, repository);
    }
    if (isRefused || this.#isDue(name)) await this.#renew(name, signal);
    return this.#loginOf(name, repository);
  }

  /**
   * Every login for applications of a namespace, as it is here; each registry once. `kept`: ids of RegistryCredentials that count also when
   * they are not listed any more.
   */
  of(namespace: string, kept: readonly string[] = []): readonly ScopedLogin[] {
    const names = [...this.#listedIn(namespace), ...this.#keptIn(namespace, kept)];
    const byRegistry = new Map<string, ScopedLogin>();
    for (const login of names.flatMap((name) => this.#valueOf(name)?.logins ?? [])) {
      if (!byRegistry.has(login.registry)) byRegistry.set(login.registry, login);
    }
    return [...byRegistry.values()];
  }

  /** Ids of the listed ones of a namespace, by whether a value is here. */
  listed(namespace: string): { readonly here: readonly string[]; readonly missing: readonly string[] } {
    const here: string[] = [];
    const missing: string[] = [];
    for (const name of this.#listedIn(namespace)) {
      (this.#valueOf(name) === undefined ? missing : here).push(name.id);
    }
    return { here, missing };
  }

  /** What of these is here, to be kept. */
  namesOf(ids: readonly string[]): SealedName[] {
    return ids.flatMap((id) => {
      const version = this.#o.store.newest(id)?.version;
      return version === undefined ? [] : [{ id, version }];
    });
  }

  #loginOf(name: SealedName, repository: string): { username: string; password: string } | undefined {
    const logins = this.#valueOf(name)?.logins ?? [];
    const login = findForRepository(logins, repository, ({ registry }) => registry);
    return login && { username: login.username, password: login.password };
  }

  #nameFor(names: readonly SealedName[], repository: string): SealedName | undefined {
    const scopes = names.flatMap((name) =>
      (this.#valueOf(name)?.logins ?? []).map(({ registry }) => ({ registry, name })),
    );
    return findForRepository(scopes, repository, ({ registry }) => registry)?.name;
  }

  #listedIn(namespace: string): SealedName[] {
    return this.#o.listed().filter(({ id }) => isCredentialOf(namespace, id));
  }

  #keptIn(namespace: string, ids: readonly string[]): SealedName[] {
    const listed = new Set(this.#o.listed().map(({ id }) => id));
    return this.namesOf(ids.filter((id) => !listed.has(id) && isCredentialOf(namespace, id)));
  }

  #valueOf(name: SealedName): RegistryCredentialValue | undefined {
    const { store } = this.#o;
    return (store.find(name) ?? store.newest(name.id))?.value as RegistryCredentialValue | undefined;
  }

  #isDue(name: SealedName): boolean {
    const { store, clock } = this.#o;
    const kept = store.find(name);
    const due = kept && renewalTime(kept.value as RegistryCredentialValue, kept.fetchedAt);
    return due !== undefined && due.getTime() <= clock.now().getTime();
  }

  async #renew(name: SealedName, signal: AbortSignal): Promise<void> {
    if (this.#refresh === undefined) return;
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const asked = this.#refresh(name, either).catch(() => {
      // The one that is here may still do; the registry says so if not.
    });
    await Promise.race([asked, this.#o.clock.sleep(longestRefreshMs, either)]);
    over.abort();
    signal.throwIfAborted();
  }
}

function isCredentialOf(namespace: string, id: string): boolean {
  const subject = parseSealedId(id);
  return subject?.kind === 'RegistryCredential' && subject.namespace === namespace;
}
