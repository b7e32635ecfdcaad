import {
  findForRepository,
  imageRepository,
  type KubeObject,
  parseSealedId,
  type RackOrder,
  type Release,
  type SealedName,
  sealedId,
  type Site,
} from '@selvedge/api';
import type { KeySource } from '@selvedge/kube';
import type { DeliveryRow } from '@selvedge/store';
import { scopesOf } from '../../credentials/open-registry-logins.ts';
import { credentialVersion } from '../../credentials/sealed-versions.ts';
import { secretsOfOrder } from '../../machines/rack-order.ts';
import type { ControllerContext } from '../controller-context.ts';

/** After the fleet could not be read. */
const retryMilliseconds = 2_000;

/** Names that are in the list so far, and those that the site was told of before. */
interface Found {
  readonly before: ReadonlyMap<string, SealedName>;
  readonly found: Map<string, SealedName>;
}

/**
 * Which values each site may have (`SitePolicy.sealed`): Secrets that the Applications and Releases of its wanted rows and the order of its rack name,
 * and RegistryCredentials that open images of those. From what is in memory and the rows of the site; no value is opened.
 */
export class SealedNames {
  readonly #ctx: ControllerContext;
  /** Whether anything names a value at all; undefined: to be found out. */
  #isUsed: boolean | undefined;

  constructor(ctx: ControllerContext) {
    this.#ctx = ctx;
    const { applications, releases, registryCredentials } = ctx.informers;
    const doubt = () => {
      this.#isUsed = undefined;
    };
    for (const informer of [applications, releases, registryCredentials]) {
      informer.onChange({ add: doubt, update: doubt, delete: doubt });
    }
  }

  /**
   * Sorted by id. A Secret that is gone stays in the list, with the version that the site has, as long as something there names it:
   * absence takes nothing from a site.
   */
  async find({ metadata, status }: Site, rack: RackOrder | undefined): Promise<readonly SealedName[]> {
    const areUsed = this.#areUsed();
    if (status?.agent?.sealingKey === undefined || (!areUsed && rack === undefined)) return [];
    const { rows, policy } = await this.#ctx.fleet.siteState(metadata.name);
    const before = new Map((policy.sealed ?? []).map((name) => [name.id, name]));
    const found = new Map<string, SealedName>();
    if (areUsed) {
      for (const row of rows) if (row.phase === 'Wanted') this.#addForRow(row, { before, found });
    }
    if (rack !== undefined) this.#addForRack(rack, { before, found });
    return [...found.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Keys of the sites that a change of a Secret, a RegistryCredential or their own rows matters to. */
  sources(): KeySource[] {
    const { secretVersions, registryCredentials, applications, releases } = this.#ctx.informers;
    return [
      { synced: applications.synced, subscribe: () => () => undefined },
      { synced: releases.synced, subscribe: () => () => undefined },
      this.#fromInformer(secretVersions, ({ metadata }) =>
        this.#usersOf(metadata.namespace ?? '', metadata.name),
      ),
      // A token that was renewed is no news to sites: they ask for it when they need it.
      this.#fromInformer(registryCredentials, () => undefined, isOfSameGeneration),
      { subscribe: (enqueue) => this.#onNewEpoch(enqueue) },
    ];
  }

  #addForRow(row: DeliveryRow, { before, found }: Found): void {
    const { namespace } = row;
    const releases = this.#releasesOf(row);
    // What a Release says that is not in memory is not known: nothing is taken away for that.
    if (releases.includes(undefined)) {
      for (const name of before.values()) if (name.id.split('/')[1] === namespace) found.set(name.id, name);
    }
    for (const name of this.#secretsOf(row, releases)) {
      this.#addSecret({ namespace, name }, { before, found });
    }
    const images = releases.flatMap((release) => release?.spec.images ?? []);
    this.#addLogins(namespace, images, { before, found });
  }

  #addForRack(rack: RackOrder, into: Found): void {
    for (const id of secretsOfOrder(rack)) {
      const secret = parseSealedId(id);
      if (secret !== undefined) this.#addSecret(secret, into);
    }
    for (const { namespace = 'default', reference } of [...rack.images, ...rack.inspection]) {
      this.#addLogins(namespace, [reference], into);
    }
  }

  /** What is gone keeps the version that the site has. */
  #add(id: string, version: string | undefined, { before, found }: Found): void {
    const name = version === undefined ? before.get(id) : { id, version };
    if (name !== undefined) found.set(id, name);
  }

  #addSecret({ namespace, name }: { namespace: string; name: string }, into: Found): void {
    const { secretVersions } = this.#ctx.informers;
    const id = sealedId({ kind: 'Secret', namespace, name });
    this.#add(id, secretVersions.find({ namespace, name })?.version, into);
  }

  /** RegistryCredentials of the namespace that open these images. */
  #addLogins(namespace: string, images: readonly string[], into: Found): void {
    const { registryCredentials, secretVersions } = this.#ctx.informers;
    const scopes = registryCredentials.list(namespace).flatMap(scopesOf);
    if (scopes.length === 0) return;
    for (const image of images) {
      const repository = imageRepository(image);
      if (repository === undefined) continue;
      const credential = findForRepository(scopes, repository, ({ registry }) => registry)?.credential;
      if (credential === undefined) continue;
      const { name } = credential.metadata;
      const versionOf = (secret: string) => secretVersions.find({ namespace, name: secret })?.version;
      const version = credentialVersion(credential, { version: this.#ctx.sealedVersion, versionOf });
      this.#add(sealedId({ kind: 'RegistryCredential', namespace, name }), version, into);
    }
  }

  /** Of the row's own release and the one to go back to. */
  #releasesOf({ namespace, release, terms }: DeliveryRow): (Release | undefined)[] {
    const names = new Set([release, ...(terms.fallback === undefined ? [] : [terms.fallback.release])]);
    return [...names].map((name) => this.#ctx.informers.releases.find({ namespace, name }));
  }

  #secretsOf(
    { namespace, application, applicationUid }: DeliveryRow,
    releases: (Release | undefined)[],
  ): Set<string> {
    const found = this.#ctx.informers.applications.find({ namespace, name: application });
    const named = found?.metadata.uid === applicationUid ? (found.spec.secrets ?? []) : [];
    return new Set([
      ...named.map(({ name }) => name),
      ...releases.flatMap((release) => release?.spec.secrets ?? []),
    ]);
  }

  #areUsed(): boolean {
    const { applications, releases, registryCredentials } = this.#ctx.informers;
    this.#isUsed ??=
      registryCredentials.list().length > 0 ||
      applications.list().some(({ spec }) => (spec.secrets ?? []).length > 0) ||
      releases.list().some(({ spec }) => (spec.secrets ?? []).length > 0);
    return this.#isUsed;
  }

  /** Names of the applications that a Secret matters to; undefined: to any of its namespace, by a RegistryCredential. */
  #usersOf(namespace: string, secret: string): ReadonlySet<string> | undefined {
    const { applications, releases, registryCredentials } = this.#ctx.informers;
    const opens = registryCredentials
      .list(namespace)
      .some(({ spec }) => spec.static?.secretRef.name === secret);
    if (opens) return undefined;
    const byApplication = applications
      .list(namespace)
      .filter(({ spec }) => spec.secrets?.some(({ name }) => name === secret))
      .map(({ metadata }) => metadata.name);
    const byRelease = releases
      .list(namespace)
      .filter(({ spec }) => spec.secrets?.includes(secret))
      .map(({ spec }) => spec.application);
    return new Set([...byApplication, ...byRelease]);
  }

  /** At the start every Site is looked at anyway, so what is there already is no news. */
  #fromInformer<T extends KubeObject>(
    informer: {
      readonly synced: Promise<void>;
      readonly isSynced: boolean;
      onChange(handlers: {
        add(o: T): void;
        update(o: T, previous: T): void;
        delete(o: T): void;
      }): () => void;
    },
    usersOf: (object: T) => ReadonlySet<string> | undefined,
    isNoNews: (object: T, previous: T) => boolean = () => false,
  ): KeySource {
    return {
      synced: informer.synced,
      subscribe: (enqueue) => {
        const changed = (object: T) => {
          if (!informer.isSynced) return;
          const users = usersOf(object);
          if (users?.size === 0) return;
          void this.#enqueueSites(object.metadata.namespace ?? '', users, enqueue);
        };
        return informer.onChange({
          add: changed,
          update: (object, previous) => {
            if (!isNoNews(object, previous)) changed(object);
          },
          delete: changed,
        });
      },
    };
  }

  async #enqueueSites(
    namespace: string,
    applications: ReadonlySet<string> | undefined,
    enqueue: (key: string) => void,
  ): Promise<void> {
    const { fleet, clock, logger, signal } = this.#ctx;
    while (!signal.aborted) {
      try {
        const { rows } = await fleet.listDeliveries({ namespace });
        for (const { application, phase, site } of rows) {
          if (phase === 'Wanted' && (applications?.has(application) ?? true)) enqueue(site);
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        logger.warn('rows not read, sites are told later of a new value', {
          controller: 'site',
          namespace,
          error,
        });
        await clock.sleep(retryMilliseconds, signal);
      }
    }
  }

  /** Other rows may name other values. What the list itself changes comes back once and finds nothing to do. */
  #onNewEpoch(enqueue: (key: string) => void): () => void {
    return this.#ctx.fleet.onChange((change) => {
      if (change.kind === 'site' && this.#areUsed()) enqueue(change.site);
    });
  }
}

function isOfSameGeneration(object: KubeObject, previous: KubeObject): boolean {
  return (
    object.metadata.uid === previous.metadata.uid &&
    object.metadata.generation === previous.metadata.generation
  );
}
