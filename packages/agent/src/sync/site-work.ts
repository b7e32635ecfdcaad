import {
  type DesiredItem,
  type DesiredState,
  type Logger,
  type SealedName,
  type SignedStateHeader,
  type SiteReport,
  windowState,
} from '@selvedge/api';
import type { DepotNeeds } from '../depot/depot-needs.ts';
import type { Driver, DriverReport, RemovalOrder } from '../drivers/driver.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { HubInstances } from '../life/hub-instances.ts';
import { LocalActs } from '../life/local-acts.ts';
import { LocalHolds } from '../life/local-holds.ts';
import { LocalOrders } from '../life/local-orders.ts';
import { type ItemName, MemoryStore } from '../life/memory-store.ts';
import { findRefusedRemovals, implicitRemoval, type RefusedRemoval } from '../life/refused-removals.ts';
import { SiteLife } from '../life/site-life.ts';
import { MirrorNews } from '../mirror/mirror-news.ts';
import type { RackRole } from '../rack/rack-role.ts';
import { type AgentDatabase, unlessStorageFull } from '../state/agent-database.ts';
import type { ContentStore } from '../state/content-store.ts';
import type { HeldState } from '../state/held-state.ts';
import type { ReportBook, UnnumberedReport } from '../state/report-book.ts';
import { clipReport } from './clip-report.ts';
import { InventoryNews } from './inventory-news.ts';
import type { SealedStore } from '../credentials/sealed-store.ts';
import type { KeptLogins } from '../credentials/site-logins.ts';
import { ItemLogins } from '../life/item-logins.ts';
import { ItemSecrets } from '../life/item-secrets.ts';
import { keyOf, type OfferedState } from './merge-state.ts';
import { ReportFilter } from './report-filter.ts';

export interface SiteWorkOptions {
  readonly held: HeldState;
  readonly book: ReportBook;
  readonly database: AgentDatabase;
  readonly content: ContentStore;
  readonly sealed: SealedStore;
  readonly logins: KeptLogins;
  readonly driver: Driver;
  readonly clock: HubClock;
  readonly logger: Logger;
  readonly siteName: string;
  readonly monotonicMs: () => number;
  /** Told which images the items need; absent: this site has no depot. */
  readonly depotNeeds?: DepotNeeds | undefined;
  /** Absent: this site has no rack. */
  readonly rack?: RackRole | undefined;
}

/**
 * Between what was accepted and who carries it out: `life` decides about each item, removals go to the driver, and what is to be
 * known of all this goes to the report book, with what only this side knows (items that nobody wants any more, kinds
 * without a driver, what a person at the site did).
 */
export class SiteWork {
  readonly held: HeldState;
  readonly book: ReportBook;
  readonly life: SiteLife;
  readonly acts: LocalActs;
  readonly secrets: ItemSecrets;
  readonly hubInstances: HubInstances;
  readonly inventory: InventoryNews;
  readonly mirrors: MirrorNews;
  readonly rack: RackRole | undefined;
  readonly #holds: LocalHolds;
  readonly #orders: LocalOrders;
  readonly #o: SiteWorkOptions;
  readonly #filter = new ReportFilter();
  /** Reports for which a full disk had no number yet. */
  readonly #unrecorded = new Map<string, UnnumberedReport>();
  /** Orders to remove that the driver has. */
  readonly #ordered = new Set<string>();
  #refusedRemovals: readonly RefusedRemoval[] = [];
  #onReportsChanged: () => void = () => {};
  #onContentWanted: () => void = () => {};
  #isStopped = false;
  #seenVersion = -1;

  constructor(options: SiteWorkOptions) {
    const { held, book, database, content, driver, clock, sealed, logins } = options;
    this.#o = options;
    this.held = held;
    this.book = book;
    this.rack = options.rack;
    this.rack?.onNews(() => this.#onReportsChanged());
    this.acts = new LocalActs(database);
    this.hubInstances = new HubInstances(database);
    this.#holds = new LocalHolds(database);
    this.#orders = new LocalOrders(database);
    this.inventory = new InventoryNews({ database, driver, clock, onNews: () => this.#onReportsChanged() });
    this.mirrors = new MirrorNews({ reader: driver.mirror, clock, onNews: () => this.#onReportsChanged() });
    this.secrets = new ItemSecrets({ store: sealed, content, listed: () => this.listedValues });
    this.life = new SiteLife({
      ...options,
      secrets: this.secrets,
      logins: new ItemLogins({ logins, monotonicMs: options.monotonicMs }),
      store: new MemoryStore(database, content),
      transaction: (work) => database.transaction(work),
      findReport: (item) => book.find(item),
      onReport: (report) => this.#record(report),
      addAct: (act) => this.acts.append(act),
      onDecided: ({ isByTime }) => {
        this.#onContentWanted();
        // A window that opened is news to the hub.
        if (isByTime) this.#onReportsChanged();
        const needs = this.life.needs();
        if (needs !== undefined) this.#o.depotNeeds?.note(needs);
      },
      isBeingRemoved: (item) => this.#isOrdered(item) && held.hasRemoval(item),
    });
    logins.onKept(() => this.life.keptLogins);
    sealed.onChange(() => {
      if (this.#isStopped) return;
      this.life.decide();
      this.rack?.contentChanged();
    });
    clock.onCorrection((changeMs) => this.book.correctTimes(changeMs));
    driver.onReport((report) => this.#takeReport(report));
  }

  /** Called when there is something that the hub should have now. */
  onReportsChanged(listener: () => void): void {
    this.#onReportsChanged = listener;
  }

  /** There is something that the hub should have now. */
  tellHub(): void {
    this.#onReportsChanged();
  }

  /** Called when there may be other content to fetch than before. */
  onContentWanted(listener: () => void): void {
    this.#onContentWanted = listener;
  }

  /** Gives the driver everything that runs here and is to run. Needs no hub. */
  resume(): void {
    // Before anything is decided: a hold that was set while the agent was stopped binds already.
    this.life.setHolds(this.#holds.all());
    this.life.start();
    this.noticeLocal();
  }

  /** Throws, with nothing changed, when the state is older or the disk is full. */
  accept(signed: string, header: SignedStateHeader, state: DesiredState): void {
    this.held.checkNotOlder(header);
    this.life.keepSiteValues(state);
    this.held.accept(signed, header, state);
    this.renewListed();
    this.#refusedRemovals = [];
    this.book.retain((item) => this.#knows(item));
    this.#give();
  }

  /** What is listed goes before what else is here of it: a value that was taken back, one of a state that was refused. */
  renewListed(): void {
    unlessStorageFull(() => this.#o.sealed.renew(this.listedValues));
  }

  /** What a refused state would have taken away stays, and the hub is told so. */
  noteRefused(offered: OfferedState, refusal: { reason: string; message: string }): void {
    this.#refusedRemovals = findRefusedRemovals(this.life.itemsHere, offered, refusal);
    for (const removal of this.#refusedRemovals) this.#addRefusal(removal);
    this.#onReportsChanged();
  }

  /** Digests that are not here and may be fetched now: of releases, and of scripts for machines. */
  contentToFetch(): string[] {
    const { content } = this.#o;
    const scripts = (this.rack?.wantedContent() ?? []).filter((digest) => !content.has(digest));
    return [...this.life.contentToFetch(), ...scripts];
  }

  contentArrived(digest: string): void {
    this.life.contentArrived(digest);
    this.rack?.contentChanged();
  }

  /** Content that is likely to be much like this one: what runs of the same item, or last proved itself. */
  findDictionary(digest: string): string | undefined {
    const item = this.held.items.find((one) => one.digest === digest);
    if (item === undefined) return undefined;
    const known = [this.book.find(item)?.runningDigest, item.terms.fallback?.digest];
    return known.find((one) => one !== undefined && one !== digest && this.#o.content.has(one));
  }

  /** The content that items wait for does not come; what ran before goes on. */
  contentDelayed(digest: string, trouble: { reason: string; message: string }): void {
    this.life.contentDelayed(digest, trouble);
  }

  /** Values that this site may have, by their present version. */
  get listedValues(): readonly SealedName[] {
    return this.held.policy.sealed ?? [];
  }

  /** When the driver last saw that what it reported still holds, by the hub's clock. */
  get observedTime(): string | undefined {
    const look = this.#o.driver.lastLook();
    return look && this.#o.clock.correct(look.toISOString());
  }

  /** What the site says of itself now. */
  get siteReport(): SiteReport {
    const { clock } = this.#o;
    const now = clock.now();
    const holds = this.#holds.all().slice(0, longestHolds);
    const isHeld = holds.some((hold) => hold.item === undefined) || this.held.policy.hold !== undefined;
    const hubInstances = this.hubInstances.takingTurns(now);
    const refusedRemovals = [...this.#refusedRemovals, ...this.life.orphans.map(implicitRemoval)];
    const shown = (kind: 'download' | 'activate') => {
      const { isOpen, changesAt } = windowState(this.held.policy, kind, now);
      if (kind === 'activate' && isHeld) return { isOpen: false };
      return { isOpen, ...(changesAt === undefined ? {} : { changesAt }) };
    };
    return {
      holds,
      windows: { download: shown('download'), activate: shown('activate') },
      ...(hubInstances === undefined ? {} : { hubInstances }),
      ...(refusedRemovals.length === 0 ? {} : { refusedRemovals: refusedRemovals.slice(0, longestRefusals) }),
    };
  }

  /** The hub has answered, and has the acts up to `ackActs`. */
  heardFromHub(answer: { instance: string; ackActs?: number }): void {
    const { clock, logger } = this.#o;
    this.life.setContact(true);
    if (answer.ackActs !== undefined)
      unlessStorageFull(() => this.acts.acknowledge(answer.ackActs as number));
    if (typeof answer.instance !== 'string') return;
    if (!this.hubInstances.met(answer.instance, clock.now())) return;
    this.inventory.doubt();
    this.mirrors.doubt();
    if (this.hubInstances.takingTurns(clock.now()) !== undefined) {
      logger.error('two hubs answer under one identity; stop the one that is not to be', {
        instance: answer.instance,
      });
    }
  }

  lostHub(): void {
    this.life.setContact(false);
  }

  /** Takes up what a person did with a command beside this agent. Cheap when nobody did anything. */
  noticeLocal(): void {
    const version = this.#o.database.foreignVersion;
    if (version === this.#seenVersion) return;
    this.#seenVersion = version;
    this.life.setHolds(this.#holds.all());
    if (!unlessStorageFull(() => this.#carryOutOrders())) this.#seenVersion = -1;
    this.#give();
    this.#onReportsChanged();
  }

  /** To be called now and then: what a full disk did not take is tried again. */
  saveReports(): void {
    for (const report of this.#unrecorded.values()) this.#record(report);
    this.book.save();
    this.life.save();
  }

  /** Frees what nothing needs any more. */
  collectGarbage(): void {
    const running = this.book.all().flatMap((report) => report.runningDigest ?? []);
    const scripts = this.rack?.wantedContent() ?? [];
    const digests = [...running, ...this.life.neededDigests(), ...scripts];
    this.held.collectGarbage(digests);
    if (this.held.accepted === undefined) return;
    this.#o.sealed.retain([...this.listedValues, ...this.life.neededSecrets()]);
  }

  /** Reports that come later are dropped: the database is about to be closed. */
  stop(): void {
    this.#isStopped = true;
    this.life.stop();
  }

  #carryOutOrders(): void {
    const { clock, logger } = this.#o;
    for (const { number, order } of this.#orders.open()) {
      const { item, by, reason } = order;
      this.life.rollBack(order, (done) => {
        const message =
          done === undefined
            ? 'not rolled back: there is no release that proved itself here to go back to'
            : `rolled back from ${done.from.release} to ${done.to.release}`;
        const time = clock.now().toISOString();
        this.acts.append({ time, kind: 'Rollback', item: item.id, by, reason, message });
        this.#orders.remove(number);
        logger.warn('a person at the site rolls back', { item: item.id, by, outcome: message });
      });
    }
  }

  #give(): void {
    for (const order of this.held.openRemovals()) this.#giveRemoval(order);
    this.life.decide();
    this.mirrors.setOrders(this.held.policy.mirrors ?? []);
    this.#givePolicy();
    for (const item of this.held.items) {
      if (!item.id.startsWith(`${this.#o.driver.kind}/`)) this.#record(this.#unknownKindReport(item));
    }
    for (const orphan of this.life.orphans) {
      const report = this.book.find(orphan);
      if (report !== undefined) this.#record(withOrphanMessage(report));
      this.#addRefusal(implicitRemoval(orphan));
    }
  }

  /** While no state is proven nothing is known of what is wanted: the rack leaves everything as it is. */
  #givePolicy(): void {
    const { policy } = this.held;
    if (policy === this.#givenPolicy) return;
    this.#givenPolicy = policy;
    this.rack?.setPolicy(policy);
  }

  #givenPolicy: HeldState['policy'] | undefined;

  /** An order that is on hold is not given; one that was given is not taken back. */
  #giveRemoval(order: RemovalOrder): void {
    const key = `${keyOf(order)} ${order.epoch}`;
    if (this.#ordered.has(key)) return;
    const hold = this.life.holdOf(order.id);
    if (hold !== undefined && this.life.knows(order)) {
      this.#record(this.#heldRemovalReport(order, hold));
      return;
    }
    this.#ordered.add(key);
    if (order.id.startsWith(`${this.#o.driver.kind}/`)) {
      this.#o.driver.remove(order);
      return;
    }
    // What no driver of this agent ever took is not here.
    const now = this.#o.clock.machineNow().toISOString();
    const { id, uid, epoch } = order;
    this.#takeReport({
      id,
      uid,
      epoch,
      release: '',
      digest: '',
      state: 'Removed',
      sinceTime: now,
      observedTime: now,
    });
  }

  #isOrdered(item: ItemName): boolean {
    return [...this.#ordered].some((key) => key.startsWith(`${keyOf(item)} `));
  }

  #takeReport(driverReport: DriverReport): void {
    if (this.#isStopped) return;
    if (!this.#knows(driverReport)) {
      this.#o.logger.debug('report of an item that is not known here', { item: driverReport.id });
      return;
    }
    const { clock } = this.#o;
    const report: UnnumberedReport = {
      ...driverReport,
      sinceTime: clock.correct(driverReport.sinceTime),
      observedTime: clock.correct(driverReport.observedTime),
    };
    if (report.state === 'Removed') {
      unlessStorageFull(() => {
        // On a full disk the order stays open and is carried out once more after a restart, which finds nothing to do.
        this.held.markRemoved(report);
        if (this.held.findDesired(report) === undefined) this.life.forget(report);
      });
    }
    if (report.state === 'Removed' || report.state === 'Removing') {
      this.#record(report);
      return;
    }
    this.life.take(driverReport);
    if (this.held.findDesired(report) !== undefined || this.held.hasRemoval(report)) return;
    this.#record(withOrphanMessage(report));
  }

  #record(report: UnnumberedReport): void {
    const last = this.book.find(report);
    if (!this.#filter.isWorthSaying(report, last, this.#o.monotonicMs())) return;
    const isRecorded = unlessStorageFull(() => {
      const outcome = this.book.record(clipReport(report));
      this.#unrecorded.delete(keyOf(report));
      if (outcome === 'changed') this.#onReportsChanged();
    });
    if (!isRecorded) this.#unrecorded.set(keyOf(report), report);
  }

  #addRefusal({ id, reason, message }: RefusedRemoval): void {
    const act = { kind: 'RemovalRefused', item: id, reason, message } as const;
    if (this.acts.isRepeated(act)) return;
    unlessStorageFull(() => this.acts.append({ ...act, time: this.#o.clock.now().toISOString() }));
  }

  #heldRemovalReport(
    { id, uid, epoch }: RemovalOrder,
    hold: NonNullable<UnnumberedReport['waiting']>,
  ): UnnumberedReport {
    const now = this.#o.clock.now().toISOString();
    const last = this.book.find({ id, uid });
    const isSame = last?.epoch === epoch && last.waiting?.reason === hold.reason;
    return {
      id,
      uid,
      epoch,
      release: '',
      digest: '',
      state: 'Pending',
      waiting: hold,
      message: `is to be removed, but nothing is removed here now: ${hold.message}`,
      ...(last?.runningDigest === undefined ? {} : { runningDigest: last.runningDigest }),
      sinceTime: isSame ? last.sinceTime : now,
      observedTime: now,
    };
  }

  #unknownKindReport(item: DesiredItem): UnnumberedReport {
    const now = this.#o.clock.now().toISOString();
    const { id, uid, epoch, release, digest } = item;
    const last = this.book.find(item);
    return {
      id,
      uid,
      epoch,
      release,
      digest,
      state: 'Refused',
      reason: 'UnknownKind',
      message: `this agent has no driver for ${id.split('/')[0]}; update the agent of this site`,
      sinceTime: last?.reason === 'UnknownKind' ? last.sinceTime : now,
      observedTime: now,
    };
  }

  /** Desired, here, or to be removed: reports of such items matter. */
  #knows(item: ItemName): boolean {
    return this.life.knows(item) || this.held.findDesired(item) !== undefined || this.held.hasRemoval(item);
  }
}

/** What the hub takes (sync-protocol.ts). */
const longestHolds = 200;
const longestRefusals = 100;

const orphanMessage =
  'no longer in the desired state of this site, but no order to remove it came: it was left as it is';

function withOrphanMessage(report: UnnumberedReport): UnnumberedReport {
  const { seq: _seq, ...rest } = report as UnnumberedReport & { seq?: number };
  if (rest.message?.startsWith(orphanMessage)) return rest;
  return { ...rest, message: rest.message ? `${orphanMessage}. ${rest.message}` : orphanMessage };
}
