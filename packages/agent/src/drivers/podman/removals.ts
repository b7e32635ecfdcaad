import type { Clock } from '@selvedge/api';
import type { DriverReport, RemovalOrder } from '../driver.ts';
import { podTask, serviceTask, type SiteRuntime, type SiteView } from './site-runtime.ts';
import type { ItemRecords } from './item-record.ts';
import { labelNames } from './ownership.ts';
import { problemOfError } from './problem-of-error.ts';

/** Carries out removal orders: everything of the item goes, but the data of its claims. */
export class Removals {
  readonly #orders = new Map<string, { order: RemovalOrder; sinceTime: string; isDone: boolean }>();
  readonly #records: ItemRecords;
  readonly #clock: Clock;

  constructor(records: ItemRecords, clock: Clock) {
    this.#records = records;
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
  async act(view: SiteView, runtime: SiteRuntime): Promise<Omit<DriverReport, 'observedTime'>[]> {
    const reports: Omit<DriverReport, 'observedTime'>[] = [];
    for (const entry of this.#orders.values()) {
      if (!entry.isDone) reports.push(await this.#actOn(entry, view, runtime));
    }
    return reports;
  }

  async #actOn(
    entry: { order: RemovalOrder; sinceTime: string; isDone: boolean },
    view: SiteView,
    runtime: SiteRuntime,
  ): Promise<Omit<DriverReport, 'observedTime'>> {
    const { id, uid, epoch } = entry.order;
    const pods = view.pods.filter((pod) => pod.itemUid === uid);
    const keys: string[] = [];
    for (const pod of pods) {
      const key = pod.role === 'service' ? serviceTask(pod.service) : podTask(pod.name);
      keys.push(key);
      runtime.tasks.begin(key, () =>
        pod.role === 'service' ? runtime.services.remove(pod) : runtime.retirePod(pod),
      );
    }
    const said = { id, uid, epoch, release: '', digest: '' };
    if (pods.length > 0) {
      const failure = keys.map((key) => runtime.tasks.failureOf(key)).find((f) => f !== undefined);
      const problem = failure && problemOfError(failure);
      return {
        ...said,
        state: 'Removing',
        ...(problem ? { reason: problem.reason, message: problem.message } : {}),
        sinceTime: entry.sinceTime,
      };
    }
    const kept = await volumesOf(runtime, uid);
    await this.#records.remove(uid);
    entry.isDone = true;
    entry.sinceTime = this.#clock.now().toISOString();
    return {
      ...said,
      state: 'Removed',
      ...(kept.length > 0
        ? { reason: 'VolumesKept', message: `data kept in Podman volumes: ${kept.join(', ')}` }
        : {}),
      sinceTime: entry.sinceTime,
    };
  }
}

/** Removes what is left of emptyDirs. @returns the volumes that stay. */
async function volumesOf({ client }: SiteRuntime, uid: string): Promise<string[]> {
  const filters = JSON.stringify({ label: [`${labelNames.itemUid}=${uid}`] });
  const list = await client.call<{ Name: string; Labels: Record<string, string> | null }[] | null>({
    path: '/volumes/json',
    query: { filters },
  });
  const kept: string[] = [];
  for (const { Name: name, Labels: labels } of list ?? []) {
    if (labels?.[labelNames.pod] === undefined) kept.push(name);
    else await client.find({ method: 'DELETE', path: `/volumes/${name}`, query: { force: true } });
  }
  return kept.sort();
}
