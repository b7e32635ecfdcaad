import type { Clock } from '@selvedge/api';
import { systemClock } from '@selvedge/api/node';
import type { Driver, DriverItem, DriverReport, RemovalOrder } from '../drivers/driver.ts';

/** A driver without a runtime: what it is told to run runs at once. At the border, so a fake is right here. */
export class MemoryDriver implements Driver {
  readonly kind = 'Application';
  /** By id and uid: what "runs". */
  readonly running = new Map<string, { item: DriverItem['item']; manifests: unknown; variables: unknown }>();
  readonly removals: RemovalOrder[] = [];
  desired: readonly DriverItem[] = [];
  isStarted = false;
  isStopped = false;
  /** Takes orders and items, does nothing about them. */
  isIdle: boolean;
  readonly #clock: Clock;
  #listener: (report: DriverReport) => void = () => {};

  constructor(options: { clock?: Clock; isIdle?: boolean } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.isIdle = options.isIdle ?? false;
  }

  async start(): Promise<void> {
    this.isStarted = true;
    for (const item of this.desired) void this.#run(item);
    for (const order of this.removals) this.#carryOut(order);
  }

  setDesired(items: readonly DriverItem[]): void {
    this.desired = items;
    if (this.isStarted) for (const item of items) void this.#run(item);
  }

  remove(order: RemovalOrder): void {
    this.removals.push(order);
    if (this.isStarted) this.#carryOut(order);
  }

  onReport(listener: (report: DriverReport) => void): void {
    this.#listener = listener;
  }

  lastLook(): Date | undefined {
    return this.isStarted && !this.isIdle ? this.#clock.now() : undefined;
  }

  async describe(): Promise<{ runtime: string }> {
    return { runtime: 'memory 1.0' };
  }

  async stop(): Promise<void> {
    this.isStopped = true;
  }

  report(
    report: Pick<DriverReport, 'id' | 'uid' | 'epoch' | 'release' | 'digest' | 'state'> &
      Partial<DriverReport>,
  ) {
    const now = this.#clock.now().toISOString();
    this.#listener({ sinceTime: now, observedTime: now, ...report });
  }

  async #run(item: DriverItem): Promise<void> {
    if (this.isIdle) return;
    const { id, uid, epoch, release, digest } = item.item;
    const manifests = await item.manifests();
    const before = this.running.get(`${id} ${uid}`);
    this.running.set(`${id} ${uid}`, { item: item.item, manifests, variables: item.variables });
    if (before?.item.epoch === epoch) return;
    this.report({ id, uid, epoch, release, digest, state: 'Running', runningDigest: digest });
  }

  #carryOut(order: RemovalOrder): void {
    if (this.isIdle) return;
    this.running.delete(`${order.id} ${order.uid}`);
    this.report({ ...order, release: '', digest: '', state: 'Removed' });
  }
}
