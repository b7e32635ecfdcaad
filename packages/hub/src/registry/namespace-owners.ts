import {
  type ConfigMap,
  configMaps,
  isAlreadyExists,
  isConflict,
  type Namespace,
  namespaces,
  type ObjectClient,
} from '@selvedge/api';
import { DistributionError } from './distribution-error.ts';
import { ensureNamespace, registryNamespace } from './shared-storage-check.ts';

const name = { namespace: registryNamespace, name: 'selvedge-registry-namespaces' };
const maxAttempts = 10;

interface Owner {
  /** Of the Namespace whose images these are. */
  readonly uid: string;
  /** When it was first seen to be gone. */
  readonly goneTime?: string;
}

/**
 * Whose images those under a namespace's name are: a Namespace that is made anew under the name of a deleted one is another one, and neither sees
 * nor writes its images. Kept in a ConfigMap of the hubs, by name of the Namespace.
 */
export class NamespaceOwners {
  readonly #client: Pick<ObjectClient, 'find' | 'create' | 'update'>;

  constructor(client: Pick<ObjectClient, 'find' | 'create' | 'update'>) {
    this.#client = client;
  }

  /** Whether what is there under this name belongs to a Namespace that is gone. */
  async isHidden(namespace: string): Promise<boolean> {
    const owner = ownersIn(await this.#find()).get(namespace);
    return owner !== undefined && owner.uid !== (await this.#uidOf(namespace));
  }

  /** Before anything is written under the name. Throws DistributionError. */
  async claim({ metadata }: Namespace): Promise<void> {
    const uid = metadata.uid ?? '';
    const owner = ownersIn(await this.#find()).get(metadata.name);
    if (owner?.uid === uid) return;
    const owners = await this.#change((present) => {
      if (!present.has(metadata.name)) present.set(metadata.name, { uid });
    });
    if (owners.get(metadata.name)?.uid === uid) return;
    throw new DistributionError(
      'DENIED',
      `images of a deleted namespace "${metadata.name}" are still here: they are removed a day after it, and until then nothing is pushed under that name; use another one`,
    );
  }

  /** Notes which Namespaces are gone since `now`; returns the names of those that were gone before `before` already. */
  async findGone({ now, before }: { readonly now: Date; readonly before: Date }): Promise<string[]> {
    const uids = new Map<string, string | undefined>();
    for (const namespace of ownersIn(await this.#find()).keys()) {
      uids.set(namespace, await this.#uidOf(namespace));
    }
    const owners = await this.#change((present) => {
      for (const [namespace, { uid, goneTime }] of present) {
        if (!uids.has(namespace)) continue;
        // It may have come back out of a backup.
        if (uids.get(namespace) === uid) present.set(namespace, { uid });
        else present.set(namespace, { uid, goneTime: goneTime ?? now.toISOString() });
      }
    });
    return [...owners]
      .filter(([, { goneTime }]) => goneTime !== undefined && new Date(goneTime) < before)
      .map(([namespace]) => namespace);
  }

  /** Once nothing is left of it. */
  async forget(namespace: string): Promise<void> {
    await this.#change((present) => {
      if (present.get(namespace)?.goneTime !== undefined) present.delete(namespace);
    });
  }

  #find(): Promise<ConfigMap | undefined> {
    return this.#client.find<ConfigMap>(configMaps, name);
  }

  async #uidOf(namespace: string): Promise<string | undefined> {
    return (await this.#client.find<Namespace>(namespaces, { name: namespace }))?.metadata.uid;
  }

  /** Returns what is there then. Other hubs write, too. */
  async #change(edit: (owners: Map<string, Owner>) => void): Promise<ReadonlyMap<string, Owner>> {
    for (let attempt = 1; ; attempt += 1) {
      const found = await this.#find();
      const owners = ownersIn(found);
      edit(owners);
      const data = Object.fromEntries(
        [...owners].map(([namespace, owner]) => [namespace, JSON.stringify(owner)]),
      );
      try {
        if (found === undefined && owners.size > 0) {
          await ensureNamespace(this.#client);
          const object: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...name }, data };
          await this.#client.create(configMaps, object);
        } else if (found !== undefined && JSON.stringify(found.data ?? {}) !== JSON.stringify(data)) {
          await this.#client.update(configMaps, { ...found, data });
        }
        return owners;
      } catch (error) {
        const isRace = isConflict(error) || isAlreadyExists(error);
        if (!isRace || attempt === maxAttempts) throw error;
      }
    }
  }
}

function ownersIn(object: ConfigMap | undefined): Map<string, Owner> {
  const owners = new Map<string, Owner>();
  for (const [namespace, text] of Object.entries(object?.data ?? {})) {
    owners.set(namespace, JSON.parse(text) as Owner);
  }
  return owners;
}
