import { type ConfigMap, configMaps, isAlreadyExists, type ObjectClient, type Site } from '@selvedge/api';
import { removalPeriodMilliseconds } from '../../removal/judge-removal.ts';

const name = { namespace: 'default', name: 'selvedge-removed-sites' };
/** More are not needed to know that it is too many. */
const maxKept = 5_000;

interface RemovedSite {
  readonly uid: string;
  readonly time: string;
}

/**
 * Which Sites left within the last hour, in a ConfigMap: a Site that is gone cannot say so, and a hub that is started anew must
 * know it.
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

  /** Durable when it resolves; told before the Sites go. */
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
    if (present) {
      await this.#client.update<ConfigMap>(configMaps, { ...present, data });
      return;
    }
    const object: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { ...name }, data };
    try {
      await this.#client.create(configMaps, object);
    } catch (error) {
      if (isAlreadyExists(error)) return this.add(sites, now);
      throw error;
    }
  }
}

/** What people wrote into it by hand is no reason to stop. */
function recentOf(object: ConfigMap | undefined, now: Date): RemovedSite[] {
  let removed: unknown;
  try {
    removed = JSON.parse(object?.data?.['removed'] ?? '[]');
  } catch {
    return [];
  }
  if (!Array.isArray(removed)) return [];
  const since = now.getTime() - removalPeriodMilliseconds;
  return (removed as Partial<RemovedSite>[]).flatMap(({ uid, time }) =>
    typeof uid === 'string' && typeof time === 'string' && Date.parse(time) > since ? [{ uid, time }] : [],
  );
}
