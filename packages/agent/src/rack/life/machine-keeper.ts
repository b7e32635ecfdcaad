import type { Clock, Logger } from '@selvedge/api';
import { type MachineRecord, newRecord, withError } from './machine-record.ts';
import type { MachineStore } from './machine-store.ts';
import type { PlanFacts } from './plan-facts.ts';
import { planMachine } from './plan-machine.ts';
import { shifted } from './shift-times.ts';
import { resumed } from './take-event.ts';

export interface MachineKeeperOptions {
  readonly store: MachineStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly factsOf: (record: MachineRecord) => PlanFacts;
}

/**
 * The records of all machines: in memory, and on the disk before anybody hears of a change. Everything is synchronous, so two things that happen at once happen one after the
 * other.
 */
export class MachineKeeper {
  readonly #o: MachineKeeperOptions;
  readonly #records = new Map<string, MachineRecord>();
  readonly #listeners = new Set<(key: string) => void>();
  /** When each was last written, by the clock; what only says that a box lives is written now and then. */
  readonly #writtenAt = new Map<string, number>();

  constructor(options: MachineKeeperOptions) {
    this.#o = options;
    const now = options.clock.now().toISOString();
    for (const record of options.store.loadAll(options.logger)) {
      // Nothing was heard while the agent was not there: that is no machine's fault.
      this.#records.set(record.key, resumed(record, now));
    }
  }

  all(): readonly MachineRecord[] {
    return [...this.#records.values()];
  }

  find(key: string): MachineRecord | undefined {
    return this.#records.get(key);
  }

  get now(): string {
    return this.#o.clock.now().toISOString();
  }

  /** Called after each change, with the key of the machine; also when it was forgotten. */
  onChange(listener: (key: string) => void): void {
    this.#listeners.add(listener);
  }

  /**
   * Something happened to a machine: `take` puts it into the record, then it is planned, written and told. A machine that is not known yet begins as New. Throws, with nothing
   * changed, on a full disk.
   */
  change(key: string, take: (record: MachineRecord) => MachineRecord): MachineRecord {
    const before = this.#records.get(key) ?? newRecord(key, this.now);
    const planned = this.#plan(take(before));
    if (planned === before && this.#records.has(key)) return before;
    this.#o.store.put(planned);
    this.#writtenAt.set(key, this.#o.clock.now().getTime());
    this.#records.set(key, planned);
    this.#tell(key);
    return planned;
  }

  /** A sign of life: nothing is decided by it, so it is written only now and then. */
  touch(key: string, take: (record: MachineRecord) => MachineRecord): void {
    const before = this.#records.get(key);
    if (before === undefined) return;
    const next = take(before);
    this.#records.set(key, next);
    const nowMs = this.#o.clock.now().getTime();
    // Power is read every minute all their lives: flash of a small box is not worn out by that.
    const everyMs = next.job === undefined ? writeAtRestEveryMs : writeEveryMs;
    if (nowMs - (this.#writtenAt.get(key) ?? 0) > everyMs) {
      this.#writtenAt.set(key, nowMs);
      this.#o.store.put(next);
    }
    this.#tell(key);
  }

  /** Plans anew what time or another order may have changed. */
  review(key: string): void {
    this.change(key, (record) => record);
  }

  /** The box is known by another key from now on; with all that is known of it. */
  rename(
    from: string,
    to: string,
    take: (record: MachineRecord) => MachineRecord = (record) => record,
  ): void {
    const record = this.#records.get(from);
    if (record === undefined) return;
    const renamed = { ...take(record), key: to };
    this.#o.store.rename(from, renamed);
    this.#records.delete(from);
    this.#records.set(to, renamed);
    this.#tell(from);
    this.#tell(to);
  }

  forget(key: string): void {
    this.#o.store.remove(key);
    this.#records.delete(key);
    this.#tell(key);
  }

  /** The time known here was wrong by so much: what is waited for is put off or brought forward with it. */
  correctTimes(changeMs: number): void {
    for (const record of this.#records.values()) this.#records.set(record.key, shifted(record, changeMs));
  }

  #plan(record: MachineRecord): MachineRecord {
    try {
      return planMachine(record, this.#o.factsOf(record));
    } catch (error) {
      const { message } = error as Error;
      this.#o.logger.error('a machine cannot be planned', { machine: record.key, error });
      return withError(record, { reason: 'Internal', message, time: this.now });
    }
  }

  #tell(key: string): void {
    for (const listener of this.#listeners) listener(key);
  }
}

const writeEveryMs = 30_000;
const writeAtRestEveryMs = 600_000;
