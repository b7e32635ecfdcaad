import {
  type KubeObject,
  sealedId,
  type SealedName,
  type SecretValue,
  splitReleaseContent,
} from '@selvedge/api';
import type { SealedStore } from '../credentials/sealed-store.ts';
import { applicationOf } from '../drivers/resolve-for-site.ts';
import type { ContentStore } from '../state/content-store.ts';

/** Versions of the Secrets that a release is resolved with, by their name at the hub. */
export type SecretVersions = Readonly<Record<string, string>>;

export interface FoundSecrets {
  readonly versions: SecretVersions;
  /** Names of those of which no version is here. */
  readonly missing: readonly string[];
}

export interface KnownVersions {
  /** Held. */
  readonly kept?: SecretVersions | undefined;
  /** What the driver was given last. */
  readonly given?: SecretVersions | undefined;
}

/** What this site has of the Secrets that releases name. */
export class ItemSecrets {
  readonly #o: { store: SealedStore; content: ContentStore; listed: () => readonly SealedName[] };
  /** By digest of content. */
  readonly #names = new Map<string, readonly string[]>();
  /** Why the hub does not give one, by id. */
  readonly #troubles = new Map<string, string>();

  /** @param options.listed what the accepted state lists. */
  constructor(options: { store: SealedStore; content: ContentStore; listed: () => readonly SealedName[] }) {
    this.#o = options;
  }

  /**
   * The versions that a release of an item is to have now: of each Secret the listed one, until that is here the one that it was given last, else
   * the newest that is here. `kept`: held versions, which come first.
   */
  find(id: string, digest: string, { kept = {}, given = {} }: KnownVersions = {}): FoundSecrets {
    const { store } = this.#o;
    const versions: Record<string, string> = {};
    const missing: string[] = [];
    const names = this.#namesIn(digest);
    if (names.length === 0) return none;
    const listed = new Map(this.#o.listed().map((name) => [name.id, name.version]));
    for (const name of names) {
      const secret = secretId(id, name);
      const wished = [kept[name], listed.get(secret), given[name]].flatMap((version) => version ?? []);
      const found =
        wished.find((version) => store.find({ id: secret, version }) !== undefined) ??
        store.newest(secret)?.version;
      if (found === undefined) missing.push(name);
      else versions[name] = found;
    }
    return { versions, missing };
  }

  /** Undefined when one of them is not here. */
  values(id: string, versions: SecretVersions): ReadonlyMap<string, SecretValue> | undefined {
    return secretValues(this.#o.store, id, versions);
  }

  /** What a release with these names uses of what is kept here. */
  namesOf(id: string, versions: SecretVersions): SealedName[] {
    return Object.entries(versions).map(([name, version]) => ({ id: secretId(id, name), version }));
  }

  /** The hub does not give a value now; undefined: it does again. */
  noteTrouble(id: string, message: string | undefined): void {
    if (message === undefined) this.#troubles.delete(id);
    else this.#troubles.set(id, message);
  }

  /** Why the hub does not give a value now. */
  troubleOf(id: string): string | undefined {
    return this.#troubles.get(id);
  }

  /** For people: why a release waits. */
  describeMissing(id: string, missing: readonly string[]): string {
    const { namespace } = applicationOf(id);
    const listed = new Set(this.#o.listed().map((name) => name.id));
    const each = missing.map((name) => {
      const secret = secretId(id, name);
      const why =
        this.#troubles.get(secret) ??
        (listed.has(secret)
          ? 'it is being fetched'
          : `the hub gives this site none of this name in the namespace ${namespace} so far`);
      return `Secret ${name} has not arrived: ${why}`;
    });
    return each.join('; ');
  }

  /** Content that is gone is not remembered. */
  retain(digests: ReadonlySet<string>): void {
    for (const digest of this.#names.keys()) if (!digests.has(digest)) this.#names.delete(digest);
  }

  #namesIn(digest: string): readonly string[] {
    const known = this.#names.get(digest);
    if (known !== undefined) return known;
    const bytes = this.#o.content.find(digest);
    if (bytes === undefined) return [];
    const { rules } = splitReleaseContent(JSON.parse(bytes.toString('utf8')) as KubeObject[]);
    const names = (rules.secrets ?? []).map(({ name }) => name);
    this.#names.set(digest, names);
    return names;
  }
}

/** Values of an item's Secrets by name and version; undefined when one of them is not here. */
export function secretValues(
  store: SealedStore,
  item: string,
  versions: SecretVersions,
): ReadonlyMap<string, SecretValue> | undefined {
  const values = new Map<string, SecretValue>();
  for (const [name, version] of Object.entries(versions)) {
    const kept = store.find({ id: secretId(item, name), version });
    if (kept === undefined) return undefined;
    values.set(name, kept.value as SecretValue);
  }
  return values;
}

const none: FoundSecrets = { versions: {}, missing: [] };

function secretId(itemId: string, name: string): string {
  const { namespace } = applicationOf(itemId);
  return sealedId({ kind: 'Secret', namespace, name });
}
