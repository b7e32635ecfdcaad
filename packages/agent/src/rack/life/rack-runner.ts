import type { Clock, Logger, MachineOrder, PowerState } from '@selvedge/api';
import { WakeUp } from '../../sync/wake-up.ts';
import { isStorageFull } from '../../state/agent-database.ts';
import { type PowerDriver, PowerError } from '../power/power-driver.ts';
import type { MachineKeeper } from './machine-keeper.ts';
import type { MachineRecord, PowerAct, PowerWish } from './machine-record.ts';
import type { PlanFacts } from './plan-facts.ts';
import { wakeTime } from './plan-machine.ts';
import type { PowerDrivers } from './power-drivers.ts';
import type { RackWishes } from './rack-wishes.ts';
import { powerRead, wishDone, wishFailed } from './take-event.ts';
import type { RackTimings } from './timings.ts';

export interface RackRunnerOptions {
  readonly keeper: MachineKeeper;
  readonly wishes: RackWishes;
  readonly drivers: PowerDrivers;
  readonly factsOf: (record: MachineRecord) => PlanFacts;
  readonly timings: RackTimings;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Carries out what records wish of BMCs, reads power states, and plans machines anew when their time comes. */
export class RackRunner {
  readonly #o: RackRunnerOptions;
  readonly #bell = new WakeUp();
  readonly #stop = new AbortController();
  /** Machines whose BMC is being asked. */
  readonly #busy = new Map<string, Promise<void>>();
  /** By key: when the power state is to be read next; milliseconds of the clock. */
  readonly #nextPoll = new Map<string, number>();
  /** Wishes that a BMC has carried out, by key: one that could not be written down as done is not carried out again. */
  readonly #carriedOut = new Map<string, string>();
  /** By key: what came of a call could not be written down; milliseconds of the clock. */
  readonly #notBefore = new Map<string, number>();
  #running: Promise<void> = Promise.resolve();

  constructor(options: RackRunnerOptions) {
    this.#o = options;
    options.keeper.onChange((key) => {
      if (options.keeper.find(key) === undefined) {
        for (const map of [this.#nextPoll, this.#carriedOut, this.#notBefore]) map.delete(key);
      }
      this.#bell.ring();
    });
  }

  start(): void {
    this.#running = this.#run(this.#stop.signal);
  }

  /** Waits for what is being asked of BMCs, which hear that it is over. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#bell.ring();
    await this.#running;
    await Promise.allSettled(this.#busy.values());
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#o;
    while (!signal.aborted) {
      const waitMs = this.#step();
      const over = new AbortController();
      const either = AbortSignal.any([signal, over.signal]);
      await Promise.race([clock.sleep(waitMs, either), this.#bell.wait(either)]);
      over.abort();
      if (signal.aborted) return;
      // Changes often come together.
      await clock.sleep(gatherMs, signal);
    }
  }

  /** @returns milliseconds until something is due. */
  #step(): number {
    const { keeper, clock, logger } = this.#o;
    const nowMs = clock.now().getTime();
    let nextMs = nowMs + longestSleepMs;
    for (const { key } of keeper.all()) {
      try {
        nextMs = Math.min(nextMs, this.#tend(key, nowMs));
      } catch (error) {
        const level = isStorageFull(error) ? 'debug' : 'error';
        logger[level]('a machine cannot be tended now', { machine: key, error });
        nextMs = Math.min(nextMs, nowMs + troubledSleepMs);
      }
    }
    return Math.max(shortestSleepMs, nextMs - nowMs);
  }

  /** @returns when it is to be looked at again though nothing happened; milliseconds of the clock. */
  #tend(key: string, nowMs: number): number {
    const { keeper, wishes } = this.#o;
    const dueAt = wakeTime(keeper.find(key) as MachineRecord);
    if (dueAt !== undefined && Date.parse(dueAt) <= nowMs) keeper.review(key);
    const record = keeper.find(key);
    if (record === undefined) return Number.POSITIVE_INFINITY;
    const order = wishes.find(key);
    if (order !== undefined && !this.#busy.has(key)) this.#askBmc(record, order, nowMs);
    const wake = wakeTime(record);
    const wakeMs = wake === undefined ? Number.POSITIVE_INFINITY : Date.parse(wake);
    const bmcMs = order === undefined ? Number.POSITIVE_INFINITY : this.#bmcDueMs(record);
    return Math.max(Math.min(wakeMs, bmcMs), nowMs + shortestSleepMs);
  }

  #bmcDueMs({ key, wish }: MachineRecord): number {
    // Its answer rings the bell.
    if (this.#busy.has(key)) return Number.POSITIVE_INFINITY;
    const wishMs = wish === undefined ? Number.POSITIVE_INFINITY : Date.parse(wish.notBefore ?? wish.since);
    const pollMs = this.#nextPoll.get(key) ?? Number.POSITIVE_INFINITY;
    return Math.max(Math.min(wishMs, pollMs), this.#notBefore.get(key) ?? 0);
  }

  #askBmc(record: MachineRecord, order: MachineOrder, nowMs: number): void {
    const { key, wish } = record;
    if ((this.#notBefore.get(key) ?? 0) > nowMs) return;
    const isDue = wish !== undefined && (wish.notBefore === undefined || Date.parse(wish.notBefore) <= nowMs);
    if (isDue) {
      this.#do(key, (signal) => this.#carryOut(key, { wish, order }, signal));
      return;
    }
    const driver = this.#o.drivers.find(order);
    if (driver?.abilities.readsState !== true) {
      this.#nextPoll.delete(key);
      return;
    }
    if ((this.#nextPoll.get(key) ?? 0) > nowMs) return;
    const seconds = record.job?.stage === 'Power' ? quickPollSeconds : this.#o.timings.powerPollSeconds;
    this.#nextPoll.set(key, nowMs + seconds * 1000 * (0.9 + Math.random() / 5));
    this.#do(key, (signal) => this.#readPower(order, driver, signal));
  }

  #do(key: string, work: (signal: AbortSignal) => Promise<void>): void {
    const { clock, logger } = this.#o;
    const over = new AbortController();
    const either = AbortSignal.any([this.#stop.signal, over.signal]);
    // A BMC that hangs does not hold up the machine for ever.
    void clock
      .sleep(longestCallMs, either)
      .then(() => over.abort(new Error('the BMC did not answer in time')));
    const doing = work(either)
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        this.#notBefore.set(key, clock.now().getTime() + troubledSleepMs);
        logger.warn('what came of a call to a BMC could not be taken', { machine: key, error });
      })
      .finally(() => {
        over.abort();
        this.#busy.delete(key);
        this.#bell.ring();
      });
    this.#busy.set(key, doing);
  }

  async #carryOut(
    key: string,
    { wish, order }: { wish: PowerWish; order: MachineOrder },
    signal: AbortSignal,
  ): Promise<void> {
    const { keeper, drivers, factsOf, logger } = this.#o;
    try {
      const isDone = this.#carriedOut.get(key) === wish.id;
      const driver = drivers.get(order);
      for (const act of isDone ? [] : wish.acts) {
        if (keeper.find(key)?.wish?.id !== wish.id) return;
        await this.#act(driver, act, signal);
      }
      this.#carriedOut.set(key, wish.id);
      this.#nextPoll.delete(key);
      keeper.change(key, (record) => wishDone(record, wish.id, factsOf(record)));
      logger.info('a BMC was asked', { machine: order.name, acts: wish.acts.map(({ kind }) => kind) });
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      if (isStorageFull(error)) throw error;
      const failure = toPowerError(error);
      logger.warn('a BMC did not do as it was asked', { machine: order.name, error: failure.message });
      keeper.change(key, (record) => wishFailed(record, { id: wish.id, error: failure }, factsOf(record)));
    }
  }

  async #act(driver: PowerDriver, act: PowerAct, signal: AbortSignal): Promise<void> {
    switch (act.kind) {
      case 'SetBoot':
        await driver.setBoot(act.setting, signal);
        return;
      case 'Boot': {
        const state: PowerState = driver.abilities.readsState ? await driver.state(signal) : 'Unknown';
        const isOff = state === 'Off' || !driver.abilities.turnsOff;
        await driver.turn(isOff ? 'On' : 'Cycle', signal);
        return;
      }
      default:
        await driver.turn(act.kind, signal);
    }
  }

  async #readPower(order: MachineOrder, driver: PowerDriver, signal: AbortSignal): Promise<void> {
    const { keeper } = this.#o;
    const { uid: key } = order;
    const read = await driver.state(signal).then(
      (state) => ({ state }),
      (error: unknown) => ({
        state: 'Unknown' as const,
        message: (error as Error).message,
      }),
    );
    if (this.#stop.signal.aborted) return;
    const take = (record: MachineRecord) => powerRead(record, read, keeper.now);
    const before = keeper.find(key);
    if (before === undefined) return;
    // What it was before decides nothing anew.
    const isNews = before.power.state !== read.state || before.job?.stage === 'Power';
    if (isNews) keeper.change(key, take);
    else keeper.touch(key, take);
  }
}

function toPowerError(error: unknown): PowerError {
  if (error instanceof PowerError) return error;
  return new PowerError('Unavailable', (error as Error).message, { isPassing: true, cause: error });
}

const gatherMs = 20;
const shortestSleepMs = 50;
const longestSleepMs = 30_000;
const troubledSleepMs = 5_000;
const quickPollSeconds = 3;
/** A BMC that is busy or slow needs minutes; each call to it has a shorter limit of its own. */
const longestCallMs = 900_000;
