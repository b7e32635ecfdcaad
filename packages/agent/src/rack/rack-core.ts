import type { Clock, Logger, MachineOrder, RackOrder, RackReport } from '@selvedge/api';
import type { AgentDatabase } from '../state/agent-database.ts';
import type { ImageLibrary } from './images/image-library.ts';
import { ConsoleLogs } from './life/console-logs.ts';
import { BoxFinder } from './life/find-box.ts';
import { ImageFactsCache } from './life/image-facts.ts';
import { MachineKeeper } from './life/machine-keeper.ts';
import { MachineNews } from './life/machine-news.ts';
import { type MachineRecord, without } from './life/machine-record.ts';
import { MachineStore } from './life/machine-store.ts';
import type { PlanFacts } from './life/plan-facts.ts';
import { type OpenPower, PowerDrivers } from './life/power-drivers.ts';
import { RackDesk } from './life/rack-desk.ts';
import { RackRunner } from './life/rack-runner.ts';
import { type RackContent, RackWishes } from './life/rack-wishes.ts';
import { WriteTurns } from './life/write-turns.ts';
import { defaultTimings, type RackTimings } from './life/timings.ts';

export interface RackCoreOptions {
  readonly database: AgentDatabase;
  readonly content: RackContent;
  readonly library: ImageLibrary;
  readonly openPower: OpenPower;
  /** See `RackNetworks.macsAt`; absent: nothing is known of those who ask. */
  readonly macsAt?: (address: string) => Promise<readonly string[]>;
  readonly onNews: () => void;
  readonly timings?: Partial<RackTimings> | undefined;
  readonly clock: Clock & { onCorrection?(listener: (changeMs: number) => void): void };
  readonly logger: Logger;
}

/** What decides for machines: all of the rack but its wires. */
export class RackCore {
  readonly wishes: RackWishes;
  readonly keeper: MachineKeeper;
  readonly desk: RackDesk;
  readonly machines: MachineNews;
  readonly logs = new ConsoleLogs();
  readonly #images: ImageFactsCache;
  readonly #drivers: PowerDrivers;
  readonly #finder: BoxFinder;
  readonly #runner: RackRunner;
  readonly #logger: Logger;

  constructor(options: RackCoreOptions) {
    const { database, content, library, clock, logger, onNews } = options;
    const timings: RackTimings = { ...defaultTimings, ...options.timings };
    const wishes = new RackWishes(content);
    const store = new MachineStore(database);
    const images = new ImageFactsCache(library, wishes);
    const power = logger.child({ component: 'power' });
    const drivers = new PowerDrivers({ wishes, open: options.openPower, clock, logger: power });
    const factsOf = (record: MachineRecord): PlanFacts =>
      factsFrom(record, { wishes, images, drivers, timings, clock, turns });
    const keeper: MachineKeeper = new MachineKeeper({ store, clock, logger, factsOf });
    const turns = new WriteTurns(keeper);
    const finder = new BoxFinder(keeper, () => wishes.machines);
    const findOrder = (key: string) => wishes.find(key);
    this.#logger = logger;
    this.wishes = wishes;
    this.keeper = keeper;
    this.#images = images;
    this.#drivers = drivers;
    this.#finder = finder;
    this.machines = new MachineNews({ database, store, keeper, findOrder, onNews });
    const { logs } = this;
    const desk = logger.child({ component: 'rack-desk' });
    this.desk = new RackDesk({
      keeper,
      store,
      wishes,
      finder,
      factsOf,
      library,
      macsAt: options.macsAt ?? (() => Promise.resolve([])),
      logs,
      clock,
      logger: desk,
    });
    const own = logger.child({ component: 'rack' });
    this.#runner = new RackRunner({ keeper, wishes, drivers, factsOf, timings, clock, logger: own });
    clock.onCorrection?.((changeMs) => keeper.correctTimes(changeMs));
  }

  /** See `RackReport.discoveryFull`. */
  discoveryFull(): RackReport['discoveryFull'] {
    return this.#finder.discoveryFull();
  }

  /** Level-based. Undefined: this site has no rack any more; everything is left as it is. */
  setOrder(order: RackOrder | undefined): void {
    const { wishes, keeper } = this;
    const before = wishes.machines;
    wishes.set(order);
    this.#drivers.retain(wishes.machines);
    this.#finder.adopt();
    for (const machine of wishes.machines) this.#noteOrder(machine);
    for (const { uid } of before) {
      if (wishes.find(uid) === undefined && keeper.find(uid) !== undefined) this.#review(uid);
    }
    void this.imagesChanged();
  }

  /** Looks which images are whole here, and goes on with those who wait for one. */
  async imagesChanged(): Promise<void> {
    await this.#images.refresh();
    this.reviewAll();
  }

  /** A value or a script came: BMCs that refused are asked at once. */
  contentChanged(): void {
    for (const { key, wish } of this.keeper.all()) {
      if (wish?.notBefore === undefined) continue;
      this.#attempt(key, () =>
        this.keeper.change(key, (record) => ({
          ...record,
          ...(record.wish && { wish: without(record.wish, 'notBefore') }),
        })),
      );
    }
    this.reviewAll();
  }

  reviewAll(): void {
    for (const { key } of this.keeper.all()) this.#review(key);
  }

  /** The order has to be set already: a machine that none names is left alone. */
  start(): Promise<void> {
    this.#runner.start();
    return this.imagesChanged();
  }

  async close(): Promise<void> {
    await this.#runner.close();
    await this.#drivers.close();
  }

  /** Each machine has a record from the moment that it is wanted. Another order, or a person, may end a conflict. */
  #noteOrder({ uid, generation, requests }: MachineOrder): void {
    this.#attempt(uid, () => {
      this.keeper.change(uid, (record) => {
        if (record.conflict === undefined) return record;
        const { retry } = requests;
        const isRetried = retry !== undefined && retry !== record.answered.retry;
        if (record.generation === generation && !isRetried) return record;
        const seen = without(record.seen, 'uuid', 'serials', 'macAddresses');
        return { ...without(record, 'conflict', 'error', 'ports'), seen };
      });
    });
  }

  #review(key: string): void {
    this.#attempt(key, () => this.keeper.review(key));
  }

  #attempt(key: string, work: () => unknown): void {
    try {
      work();
    } catch (error) {
      this.#logger.warn('a machine could not be written down; it is tried again', { machine: key, error });
    }
  }
}

function factsFrom(
  { key }: MachineRecord,
  from: {
    readonly wishes: RackWishes;
    readonly images: ImageFactsCache;
    readonly drivers: PowerDrivers;
    readonly timings: RackTimings;
    readonly clock: Clock;
    readonly turns: WriteTurns;
  },
): PlanFacts {
  const { wishes, images, drivers, timings, clock, turns } = from;
  const order = wishes.find(key);
  const image = wishes.imageOf(order);
  const facts = images.find(order);
  const writeTurn = turns.findReason(key, wishes.writesAtOnce);
  const missing = wishes.missingSecret(order);
  const missingLogin = wishes.missingLogin(order);
  return {
    now: clock.now().toISOString(),
    timings,
    discovery: wishes.discovery,
    power: drivers.abilitiesOf(order),
    scripts: wishes.scripts,
    hasScript: (script) => wishes.hasScript(script),
    ...(order === undefined ? {} : { order }),
    ...(facts === undefined ? {} : { image: facts }),
    ...(image === undefined ? {} : { confirmation: image.confirmation }),
    ...(writeTurn === undefined ? {} : { writeTurn }),
    ...(missing === undefined ? {} : { missing }),
    ...(missingLogin === undefined ? {} : { missingLogin }),
  };
}
