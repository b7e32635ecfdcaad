import { type DesiredItem, StatusError } from '@selvedge/api';
import type { Clock } from '@selvedge/api';
import type { LinkDoor } from '../../link/link-door.ts';
import type { Driver, DriverItem, DriverReport, RemovalOrder } from '../driver.ts';

/** Of a site that runs no applications: a rack on a top-of-rack switch. Applications that are placed here are refused, with the reason. */
export class NoRuntimeDriver implements Driver {
  readonly kind = 'Application';
  readonly #clock: Clock;
  readonly #listeners: ((report: DriverReport) => void)[] = [];
  /** By id and uid, the epoch and digest of which it was said last. */
  readonly #said = new Map<string, string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  setDesired(items: readonly DriverItem[]): void {
    for (const { item } of items) {
      const key = `${item.id} ${item.uid}`;
      const what = `${item.epoch} ${item.digest}`;
      if (this.#said.get(key) === what) continue;
      this.#said.set(key, what);
      this.#report(item, {
        state: 'Refused',
        reason: 'NoRuntime',
        message: 'the agent of this site runs no applications (--runtime none); place it at another site',
      });
    }
  }

  setNodeGroups(): void {
    // There are no nodes.
  }

  remove({ id, uid, epoch }: RemovalOrder): void {
    this.#report({ id, uid, epoch, release: '', digest: '' }, { state: 'Removed' });
  }

  onReport(listener: (report: DriverReport) => void): void {
    this.#listeners.push(listener);
  }

  lastLook(): Date {
    return this.#clock.now();
  }

  inventory(): undefined {
    return undefined;
  }

  onInventory(): void {
    // It never changes.
  }

  openDoor(): Promise<LinkDoor> {
    const refuse = () => {
      throw new StatusError('NotFound', 'this site runs no applications (--runtime none)');
    };
    return Promise.resolve({
      answer: () => Promise.resolve().then(refuse),
      upgrade: () => Promise.resolve().then(refuse),
    });
  }

  describe(): Promise<{ runtime: string }> {
    return Promise.resolve({ runtime: 'none' });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  #report(
    { id, uid, epoch, release, digest }: Pick<DesiredItem, 'id' | 'uid' | 'epoch' | 'release' | 'digest'>,
    said: Pick<DriverReport, 'state' | 'reason' | 'message'>,
  ): void {
    const now = this.#clock.now().toISOString();
    const report = { id, uid, epoch, release, digest, ...said, sinceTime: now, observedTime: now };
    for (const listener of this.#listeners) listener(report);
  }
}
