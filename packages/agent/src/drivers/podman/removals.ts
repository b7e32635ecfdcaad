import type { Clock } from '@selvedge/api';
import type { DriverReport, RemovalOrder } from '../driver.ts';
import type { OrphanList } from '../orphan-list.ts';
import type { RecordFiles } from '../record-files.ts';
import type { ItemRecord } from './item-record.ts';
import { isDiskFull, isMissing, isUnreachable, LibpodError } from './libpod-client.ts';
import type { ObservedPod } from './observe.ts';
import { labelNames } from './ownership.ts';
import { problemOfError } from './problem-of-error.ts';
import { podTask, serviceTask, type SiteRuntime, type SiteView } from './site-runtime.ts';

interface OpenOrder {
  readonly order: RemovalOrder;
  sinceTime: string;
  isDone: boolean;
}

type Report = Omit<DriverReport, 'observedTime'>;

/** Carries out removal orders: everything of the item goes; the data of its claims only when the order says so. */
export class Removals {
  readonly #orders = new Map<string, OpenOrder>();
  readonly #records: RecordFiles<ItemRecord>;
  readonly #orphans: OrphanList;
  readonly #clock: Clock;

  constructor(records: RecordFiles<ItemRecord>, orphans: OrphanList, clock: Clock) {
    this.#records = records;
    this.#orphans = orphans;
    this.#clock = clock;
  }

  add(order: RemovalOrder): void {
    const before = this.#orders.get(order.uid);
    if (before && before.order.epoch >= order.epoch && !before.isDone) return;
    this.#orders.set(order.uid, { order, sinceTime: this.#clock.now().toISOString(), isDone: false });
  }

  /** An item that is wanted again after the order. */
  cancel(uid: string, epoch: number): void {
    const found = this.#orders.get(uid);
    if (found && found.order.epoch < epoch) this.#orders.delete(uid);
  }

  has(uid: string): boolean {
    return this.#orders.has(uid);
  }

  /** @returns what to report. */
  async act(view: SiteView, runtime: SiteRuntime): Promise<Report[]> {
    const reports: Report[] = [];
    for (const entry of this.#orders.values()) {
      if (!entry.isDone) reports.push(await this.#carryOut(entry, view, runtime));
    }
    return reports;
  }

  async #carryOut(entry: OpenOrder, view: SiteView, runtime: SiteRuntime): Promise<Report> {
    const { id, uid, epoch, mode } = entry.order;
    const pods = view.pods.filter((pod) => pod.itemUid === uid);
    const said = { id, uid, epoch, release: '', digest: '' };
    const isLetGo = mode === 'Orphan' || this.#orphans.find(uid) !== undefined;
    try {
      if (!isLetGo && pods.length > 0) {
        return { ...said, state: 'Removing', ...takeAway(pods, runtime), sinceTime: entry.sinceTime };
      }
      const outcome = isLetGo
        ? await this.#letGo(entry.order, pods)
        : await this.#removeRest(entry.order, runtime);
      await this.#records.remove(uid);
      entry.isDone = true;
      entry.sinceTime = this.#clock.now().toISOString();
      return { ...said, state: 'Removed', ...outcome, sinceTime: entry.sinceTime };
    } catch (error) {
      if (isUnreachable(error)) throw error;
      // A disk that is full, for one; the order stays open.
      const reason = isDiskFull(error) ? 'DiskFull' : 'CannotRemove';
      const message = error instanceof Error ? error.message.slice(0, 1000) : String(error);
      return { ...said, state: 'Removing', reason, message, sinceTime: entry.sinceTime };
    }
  }

  async #letGo(
    { id, uid, epoch }: RemovalOrder,
    pods: readonly ObservedPod[],
  ): Promise<Pick<Report, 'reason' | 'message'>> {
    await this.#orphans.add({ id, uid, epoch });
    const names = pods.map((pod) => pod.name).sort();
    const list = names.length === 0 ? 'nothing of it was here' : `left as they are: pods ${names.join(', ')}`;
    return { reason: 'Orphaned', message: `${list}; nobody looks after them any more` };
  }

  /** Removes what is left of emptyDirs and, by order, the volumes with data. */
  async #removeRest(
    { uid, mode }: RemovalOrder,
    runtime: SiteRuntime,
  ): Promise<Pick<Report, 'reason' | 'message'>> {
    const volumes = await volumesOf(runtime, uid);
    for (const name of volumes.scratch) await removeVolume(runtime, name, { force: true });
    const records = await this.#records.loadAll();
    const used = records.find((record) => record.uid === uid)?.claimVolumes ?? [];
    const ofOthers = new Set(
      records.filter((record) => record.uid !== uid).flatMap((record) => record.claimVolumes ?? []),
    );
    const kept: string[] = [];
    for (const name of [...new Set([...volumes.claims, ...used])].sort()) {
      const mayGo = mode === 'DeleteVolumes' && !ofOthers.has(name);
      if (mayGo && (await removeVolume(runtime, name, { force: false }))) continue;
      if (volumes.claims.includes(name) || (await hasVolume(runtime, name))) kept.push(name);
    }
    if (kept.length === 0) return {};
    const why = mode === 'DeleteVolumes' ? ' (others use them)' : '';
    return { reason: 'VolumesKept', message: `data kept in Podman volumes${why}: ${kept.join(', ')}` };
  }
}

/** Begins to remove pods and Services. @returns what keeps them. */
function takeAway(pods: readonly ObservedPod[], runtime: SiteRuntime): Pick<Report, 'reason' | 'message'> {
  const keys: string[] = [];
  for (const pod of pods) {
    const key = pod.role === 'service' ? serviceTask(pod.service) : podTask(pod.name);
    keys.push(key);
    runtime.tasks.begin(key, () =>
      pod.role === 'service' ? runtime.services.remove(pod) : runtime.retirePod(pod),
    );
  }
  const failure = keys.map((key) => runtime.tasks.failureOf(key)).find((found) => found !== undefined);
  const problem = failure && problemOfError(failure);
  return problem ? { reason: problem.reason, message: problem.message } : {};
}

/** Podman volumes that were made for an item. */
async function volumesOf(
  { client }: SiteRuntime,
  uid: string,
): Promise<{ scratch: string[]; claims: string[] }> {
  const filters = JSON.stringify({ label: [`${labelNames.itemUid}=${uid}`] });
  const list = await client.call<{ Name: string; Labels: Record<string, string> | null }[] | null>({
    path: '/volumes/json',
    query: { filters },
  });
  const isScratch = (labels: Record<string, string> | null) => labels?.[labelNames.pod] !== undefined;
  return {
    scratch: (list ?? []).filter((one) => isScratch(one.Labels)).map((one) => one.Name),
    claims: (list ?? []).filter((one) => !isScratch(one.Labels)).map((one) => one.Name),
  };
}

async function hasVolume({ client }: SiteRuntime, name: string): Promise<boolean> {
  return (await client.find({ path: `/volumes/${name}/json` })) !== undefined;
}

/** False when a container uses it. */
async function removeVolume(
  { client }: SiteRuntime,
  name: string,
  { force }: { force: boolean },
): Promise<boolean> {
  try {
    await client.call({ method: 'DELETE', path: `/volumes/${name}`, query: { force } });
  } catch (error) {
    if (isMissing(error)) return true;
    if (error instanceof LibpodError && error.code === 409) return false;
    throw error;
  }
  return true;
}
