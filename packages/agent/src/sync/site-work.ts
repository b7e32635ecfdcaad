import type { DesiredItem, DesiredState, ItemReport, Logger, SignedStateHeader } from '@selvedge/api';
import type { Driver, DriverReport } from '../drivers/driver.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { isStorageFull } from '../state/agent-database.ts';
import type { HeldState } from '../state/held-state.ts';
import type { ReportBook, UnnumberedReport } from '../state/report-book.ts';
import { keyOf } from './merge-state.ts';

interface Trouble {
  readonly reason: string;
  readonly message: string;
  readonly sinceTime: string;
}

/**
 * Between what was accepted and who carries it out: gives the driver its items and removal orders, takes its reports,
 * adds what only this side knows (content that is missing, items that nobody wants any more, kinds without a driver).
 */
export class SiteWork {
  readonly held: HeldState;
  readonly book: ReportBook;
  readonly #driver: Driver;
  readonly #clock: HubClock;
  readonly #logger: Logger;
  /** By digest of the content. */
  readonly #troubles = new Map<string, Trouble>();
  /** Reports for which a full disk had no number yet. */
  readonly #unrecorded = new Map<string, UnnumberedReport>();
  #onReportsChanged: () => void = () => {};
  #isStopped = false;

  constructor(options: {
    held: HeldState;
    book: ReportBook;
    driver: Driver;
    clock: HubClock;
    logger: Logger;
  }) {
    this.held = options.held;
    this.book = options.book;
    this.#driver = options.driver;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#clock.onCorrection((changeMs) => this.book.correctTimes(changeMs));
    this.#driver.onReport((report) => this.#takeReport(report));
  }

  /** Called when there is a report that the hub should have now. */
  onReportsChanged(listener: () => void): void {
    this.#onReportsChanged = listener;
  }

  /** Gives the driver everything that was ever accepted and not removed. Needs no hub. */
  resume(): void {
    this.#give();
  }

  /** Throws, with nothing changed, when the state is older or the disk is full. */
  accept(signed: string, header: SignedStateHeader, state: DesiredState): void {
    this.held.accept(signed, header, state);
    this.book.retain((item) => this.held.knows(item));
    this.#give();
  }

  contentArrived(digest: string): void {
    this.#troubles.delete(digest);
    if (this.held.giveArrived()) this.#give();
  }

  /** The content that items wait for does not come; what ran before goes on. */
  contentDelayed(digest: string, trouble: { reason: string; message: string }): void {
    const sinceTime = this.#troubles.get(digest)?.sinceTime ?? this.#clock.now().toISOString();
    this.#troubles.set(digest, { ...trouble, sinceTime });
    for (const item of this.#desiredItems()) {
      if (item.digest === digest) this.#record(this.#waitingReport(item, this.book.find(item)));
    }
  }

  /** When the driver last saw that what it reported still holds, by the hub's clock. */
  get observedTime(): string | undefined {
    const look = this.#driver.lastLook();
    return look && this.#clock.correct(look.toISOString());
  }

  /** To be called now and then: what a full disk did not take is tried again. */
  saveReports(): void {
    for (const report of this.#unrecorded.values()) this.#record(report);
    this.book.save();
  }

  /** Frees what nothing needs any more. */
  collectGarbage(): void {
    this.held.collectGarbage(this.book.all().flatMap((report) => report.runningDigest ?? []));
  }

  #give(): void {
    this.#driver.setDesired(this.held.driverItems(this.#driver.kind));
    for (const order of this.held.openRemovals()) this.#giveRemoval(order);
    for (const item of this.#desiredItems()) {
      if (!item.id.startsWith(`${this.#driver.kind}/`)) this.#record(this.#unknownKindReport(item));
    }
    for (const orphan of this.held.orphans()) {
      const report = this.book.find(orphan);
      if (report !== undefined) this.#record(withOrphanMessage(report));
    }
  }

  #giveRemoval(order: { id: string; uid: string; epoch: number }): void {
    if (order.id.startsWith(`${this.#driver.kind}/`)) {
      this.#driver.remove(order);
      return;
    }
    // What no driver of this agent ever took is not here.
    const now = this.#clock.machineNow().toISOString();
    this.#takeReport({
      ...order,
      release: '',
      digest: '',
      state: 'Removed',
      sinceTime: now,
      observedTime: now,
    });
  }

  /** Reports that come later are dropped: the database is about to be closed. */
  stop(): void {
    this.#isStopped = true;
  }

  #takeReport(driverReport: DriverReport): void {
    if (this.#isStopped) return;
    if (!this.held.knows(driverReport)) {
      this.#logger.debug('report of an item that is not known here', { item: driverReport.id });
      return;
    }
    const report: UnnumberedReport = {
      ...driverReport,
      sinceTime: this.#clock.correct(driverReport.sinceTime),
      observedTime: this.#clock.correct(driverReport.observedTime),
    };
    if (report.state === 'Removed') {
      try {
        this.held.markRemoved(report);
      } catch (error) {
        if (!isStorageFull(error)) throw error;
        // The order stays open and is carried out once more after a restart, which finds nothing to do.
      }
    }
    const desired = this.held.findDesired(report);
    if (desired !== undefined && desired.digest !== report.digest && this.#troubles.has(desired.digest)) {
      this.#record(this.#waitingReport(desired, report));
    } else if (desired === undefined && report.state !== 'Removed' && report.state !== 'Removing') {
      this.#record(withOrphanMessage(report));
    } else {
      this.#record(report);
    }
  }

  #record(report: UnnumberedReport): void {
    try {
      const outcome = this.book.record(clip(report));
      this.#unrecorded.delete(keyOf(report));
      if (outcome === 'changed') this.#onReportsChanged();
    } catch (error) {
      if (!isStorageFull(error)) throw error;
      this.#unrecorded.set(keyOf(report), report);
    }
  }

  /** For a desired item whose content is not here; what is known of what runs instead comes from `last`. */
  #waitingReport(item: DesiredItem, last: UnnumberedReport | undefined): UnnumberedReport {
    const trouble = this.#troubles.get(item.digest) as Trouble;
    return {
      id: item.id,
      uid: item.uid,
      epoch: item.epoch,
      release: item.release,
      digest: item.digest,
      state: 'Preparing',
      reason: trouble.reason,
      message: trouble.message,
      sinceTime: trouble.sinceTime,
      observedTime: this.#clock.now().toISOString(),
      ...(last?.runningDigest === undefined ? {} : { runningDigest: last.runningDigest }),
      ...(last?.pods === undefined ? {} : { pods: last.pods }),
    };
  }

  #unknownKindReport(item: DesiredItem): UnnumberedReport {
    const now = this.#clock.now().toISOString();
    const held = this.book.find(item);
    return {
      id: item.id,
      uid: item.uid,
      epoch: item.epoch,
      release: item.release,
      digest: item.digest,
      state: 'Refused',
      reason: 'UnknownKind',
      message: `this agent has no driver for ${item.id.split('/')[0]}; update the agent of this site`,
      sinceTime: held?.reason === 'UnknownKind' ? held.sinceTime : now,
      observedTime: now,
    };
  }

  #desiredItems(): readonly DesiredItem[] {
    return this.held.accepted?.items ?? [];
  }
}

/** The hub refuses longer ones (sync-protocol.ts), and with them everything else that the request brings. */
function clip(report: UnnumberedReport): UnnumberedReport {
  const { reason, message, logs } = report;
  return {
    ...report,
    ...(reason === undefined ? {} : { reason: reason.slice(0, 200) }),
    ...(message === undefined ? {} : { message: message.slice(0, 8000) }),
    ...(logs === undefined ? {} : { logs: logs.slice(-20).map((line) => line.slice(0, 500)) }),
  };
}

const orphanMessage =
  'no longer in the desired state of this site, but no order to remove it came: it was left as it is';

function withOrphanMessage(report: UnnumberedReport | ItemReport): UnnumberedReport {
  const { seq: _seq, ...rest } = report as ItemReport;
  if (rest.message?.startsWith(orphanMessage)) return rest;
  return { ...rest, message: rest.message ? `${orphanMessage}. ${rest.message}` : orphanMessage };
}
