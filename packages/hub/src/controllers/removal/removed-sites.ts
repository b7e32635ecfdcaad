import {
  type ConfigMap,
  configMaps,
  isAlreadyExists,
  type Namespace,
  namespaces,
  type ObjectClient,
  type Site,
} from '@selvedge/api';
import { removalPeriodMilliseconds } from '../../removal/judge-removal.ts';

/** Where nobody writes who was let into namespaces for applications. */
const namespace = 'kube-system';
const name = { namespace, name: 'selvedge-removed-sites' };
/** More are not needed to know that it is too many. */
const maxKept = 5_000;
/** So much may the clocks of two hubs differ. */
const maxAheadMilliseconds = 300_000;
const uidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

interface RemovedSite {
  readonly uid: string;
  readonly time: string;
}

/**
 * Which Sites left within the last hour, in a ConfigMap: a Site that is gone cannot say so, and a hub that is started anew must
 * know it. It only ever counts against more removals: whoever writes into it can let nothing go.
 */
export class RemovedSites {
  readonly #client: ObjectClient;

  constructor(client: ObjectClient) {
    this.#client = client;
  }

  /** UIDs, and seconds after which the first of them no longer counts. */
  async recent(now: Date): Promise<{ uids: Set<string>; expireInSeconds: number | undefined }> {
    const removed = recentOf(await this.#client.find<ConfigMap>(configMaps, name), now);
    const first = Math.min(...removed.map(({ time }) => Date.parse(time)));
    const seconds = Math.ceil((first + removalPeriodMilliseconds - now.getTime()) / 1000);
    return {
      uids: new Set(removed.map(({ uid }) => uid)),
      expireInSeconds: removed.length === 0 ? undefined : Math.max(1, seconds),
    };
  }

  /** Durable when it resolves; told before the Sites go. Rejects with `Conflict` or `AlreadyExists` when others write it too. */
  async add(sites: readonly Site[], now: Date): Promise<void> {
    const present = await this.#client.find<ConfigMap>(configMaps, name);
    const known = recentOf(present, now);
    const uids = new Set(known.map(({ uid }) => uid));
    const added = sites
      .map(({ metadata }) => metadata.uid ?? '')
      .filter((uid) => !uids.has(uid))
      .map((uid) => ({ uid, time: now.toISOString() }));
    if (added.length === 0) return;
    const data = { removed: JSON.stringify([...known, ...added].slice(-maxKept)) };
    const object: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...name }, data };
    if (present && present.immutable !== true) {
      await this.#client.update<ConfigMap>(configMaps, { ...object, metadata: present.metadata });
      return;
    }
    // Somebody sealed it: what it said is in `data`.
    if (present) await this.#client.delete(configMaps, name);
    else await this.#ensureNamespace();
    await this.#client.create(configMaps, object);
  }

  async #ensureNamespace(): Promise<void> {
    if (await this.#client.find<Namespace>(namespaces, { name: namespace })) return;
    const object: Namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
    try {
      await this.#client.create<Namespace>(namespaces, object);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

/** What people wrote into it by hand is no reason to stop, nor to hold anything for ever. */
function recentOf(object: ConfigMap | undefined, now: Date): RemovedSite[] {
  let removed: unknown;
  try {
    removed = JSON.parse(object?.data?.['removed'] ?? '[]');
  } catch {
    return [];
  }
  if (!Array.isArray(removed)) return [];
  const byUid = new Map<string, RemovedSite>();
  for (const entry of removed)
    if (isRecent(entry, now)) byUid.set(entry.uid, { uid: entry.uid, time: entry.time });
  return [...byUid.values()].slice(-maxKept);
}

function isRecent(entry: unknown, now: Date): entry is RemovedSite {
  const { uid, time } = (entry ?? {}) as Partial<Record<string, unknown>>;
  if (typeof uid !== 'string' || !uidPattern.test(uid) || typeof time !== 'string') return false;
  const ago = now.getTime() - Date.parse(time);
  return ago < removalPeriodMilliseconds && ago >= -maxAheadMilliseconds;
}
