import { canonicalJson, type MachineOrder, type MachineReport } from '@selvedge/api';
import { machinesDigest, sha256Digest } from '@selvedge/api/node';
import { type AgentDatabase, unlessStorageFull } from '../../state/agent-database.ts';
import { findMeta, putMeta } from '../../state/enrolment-record.ts';
import { boxPrefix } from './find-box.ts';
import type { MachineKeeper } from './machine-keeper.ts';
import { type MachineRecord, without } from './machine-record.ts';
import type { MachineStore, ToldReport } from './machine-store.ts';
import { reportMachine, type UnnumberedMachineReport } from './report-machine.ts';

export interface MachineNewsOptions {
  readonly database: AgentDatabase;
  readonly store: MachineStore;
  readonly keeper: MachineKeeper;
  readonly findOrder: (key: string) => MachineOrder | undefined;
  /** There is something that the hub should have now. */
  readonly onNews: () => void;
}

interface SentReport {
  readonly key: string;
  readonly seq: number;
  readonly lastMoment: number;
  readonly inventoryDigest?: string;
}

/**
 * What the hub is to hear of machines: the newest of each, until it has it durably. Numbers are reserved on disk in blocks, so none is used twice after a crash. What only
 * moves on (bytes written, when it was last seen) is told every ten seconds; that all is as before, once a day: the hub renews the age of what it has by
 * the digest.
 */
export class MachineNews {
  readonly #o: MachineNewsOptions;
  readonly #told: Map<string, ToldReport>;
  /** By key: when it was last told anew, and what that said without what only moves on. */
  readonly #pace = new Map<string, { atMs: number; text: string }>();
  readonly #dirty = new Set<string>();
  #sent: readonly SentReport[] = [];
  #nextSeq: number;
  #reservedSeq: number;

  constructor(options: MachineNewsOptions) {
    this.#o = options;
    const { database, store, keeper } = options;
    this.#told = store.loadReports();
    this.#reservedSeq = Number(findMeta(database, metaKey) ?? 0);
    this.#nextSeq = Math.max(this.#reservedSeq + 1, Math.ceil(Date.parse(keeper.now)));
    keeper.onChange((key) => {
      this.#dirty.add(key);
      if (this.#look(key)) options.onNews();
    });
    for (const { key } of keeper.all()) this.#dirty.add(key);
  }

  hasNews(): boolean {
    for (const key of this.#dirty) this.#look(key);
    return this.#untold().length > 0;
  }

  /** To be called now and then. */
  renew(): void {
    for (const { key } of this.#o.keeper.all()) this.#dirty.add(key);
    if (this.hasNews()) this.#o.onNews();
  }

  /** Lowest numbers first, of `maxBytes` or, when one alone has more, that one. */
  take(maxBytes: number): MachineReport[] {
    this.hasNews();
    const reports: MachineReport[] = [];
    const sent: SentReport[] = [];
    let bytes = 0;
    for (const [key, { seq }] of this.#untold().toSorted(([, a], [, b]) => a.seq - b.seq)) {
      const report = this.#compose(key, seq);
      if (report === undefined) continue;
      bytes += Buffer.byteLength(JSON.stringify(report));
      if (reports.length > 0 && (bytes > maxBytes || reports.length >= mostReports)) break;
      reports.push(report);
      sent.push({
        key,
        seq,
        lastMoment: report.timeline?.at(-1)?.n ?? 0,
        ...(report.inventory === undefined || report.inventoryDigest === undefined
          ? {}
          : { inventoryDigest: report.inventoryDigest }),
      });
    }
    this.#sent = sent;
    return reports;
  }

  /** Of the machines that the order names and that were reported: what the hub compares with its own. */
  digest(): string {
    const reported = [...this.#told].filter(([key]) => this.#o.findOrder(key) !== undefined);
    return machinesDigest(reported.map(([key, { seq }]) => ({ key, seq })));
  }

  /** The hub has everything up to this number. */
  acknowledge(ack: number): void {
    unlessStorageFull(() => {
      for (const sent of this.#sent) if (sent.seq <= ack) this.#markTold(sent);
      if (ack >= this.#nextSeq) {
        // From before the disk of this rack was lost.
        this.#nextSeq = ack + 1;
        this.#reserve();
        this.#tellAllAgain();
      }
    });
    this.#sent = this.#sent.filter(({ seq }) => seq > ack);
  }

  /** The hub does not have what this rack has. */
  sendAll(): void {
    unlessStorageFull(() => {
      this.#o.store.doubtInventories();
      this.#tellAllAgain();
    });
  }

  #tellAllAgain(): void {
    for (const key of this.#told.keys()) this.#number(key, this.#told.get(key)?.said ?? '');
  }

  #markTold({ key, seq, lastMoment, inventoryDigest }: SentReport): void {
    const { store, keeper } = this.#o;
    const told = this.#told.get(key);
    if (told?.seq === seq) this.#put(key, { ...told, isTold: true });
    if (inventoryDigest !== undefined) store.markInventoryTold(key, inventoryDigest);
    const record = keeper.find(key);
    if (record === undefined || !record.timeline.some(({ n }) => n <= lastMoment)) return;
    keeper.change(key, (before) => ({
      ...before,
      timeline: before.timeline.filter(({ n }) => n > lastMoment),
    }));
  }

  /** Whether there is something new to tell of it. */
  #look(key: string): boolean {
    const { keeper } = this.#o;
    const record = keeper.find(key);
    if (record === undefined) {
      this.#told.delete(key);
      this.#pace.delete(key);
      this.#dirty.delete(key);
      return false;
    }
    if (!this.#isReported(record)) {
      this.#dirty.delete(key);
      return false;
    }
    const report = reportMachine(record, { order: this.#o.findOrder(key), now: keeper.now });
    // Moments go once the hub has them: that is nothing new.
    const said = sha256Digest(
      canonicalJson({
        ...without(report, 'observedTime', 'timeline'),
        power: { state: report.power.state, message: report.power.message ?? '' },
        moments: record.moments,
      }),
    );
    const text = sha256Digest(canonicalJson({ ...withoutPace(report), moments: record.moments }));
    const pace = this.#pace.get(key);
    const ageMs = Date.parse(keeper.now) - (pace?.atMs ?? 0);
    const isSame = this.#told.get(key)?.said === said;
    const isSlow = isSame ? ageMs < renewMs : pace?.text === text && ageMs < paceMs;
    if (isSame) this.#dirty.delete(key);
    if (pace !== undefined && isSlow) return false;
    this.#pace.set(key, { atMs: Date.parse(keeper.now), text });
    // After a start nothing is new that was told before.
    if (isSame && pace === undefined) return false;
    this.#dirty.delete(key);
    return unlessStorageFull(() => this.#number(key, said));
  }

  /** Boxes that nobody wants are told of; machines that the hub no longer names are not. */
  #isReported({ key }: MachineRecord): boolean {
    return key.startsWith(boxPrefix) || this.#o.findOrder(key) !== undefined;
  }

  #compose(key: string, seq: number): MachineReport | undefined {
    const { keeper, store, findOrder } = this.#o;
    const record = keeper.find(key);
    if (record === undefined || !this.#isReported(record)) return undefined;
    const report = reportMachine(record, { order: findOrder(key), now: keeper.now });
    const untold = store.untoldInventory(key);
    const isPresent = untold !== undefined && untold.digest === report.inventoryDigest;
    return { ...report, seq, ...(isPresent ? { inventory: untold.inventory } : {}) };
  }

  #untold(): [string, ToldReport][] {
    const { keeper } = this.#o;
    return [...this.#told].filter(([key, { isTold }]) => {
      const record = isTold ? undefined : keeper.find(key);
      return record !== undefined && this.#isReported(record);
    });
  }

  #number(key: string, said: string): void {
    if (this.#nextSeq > this.#reservedSeq) this.#reserve();
    this.#put(key, { seq: this.#nextSeq++, isTold: false, said });
  }

  #put(key: string, told: ToldReport): void {
    this.#o.store.putReport(key, told);
    this.#told.set(key, told);
  }

  #reserve(): void {
    const upTo = this.#nextSeq + blockSize - 1;
    putMeta(this.#o.database, metaKey, String(upTo));
    this.#reservedSeq = upTo;
  }
}

const metaKey = 'reservedMachineSeq';
const blockSize = 1000;
const mostReports = 50;
const paceMs = 10_000;
const renewMs = 86_400_000;

/** Without what only moves on. */
function withoutPace(report: UnnumberedMachineReport): object {
  const { waiting, seen, power } = report;
  return {
    ...without(report, 'observedTime', 'progress', 'timeline'),
    power: { state: power.state, message: power.message ?? '' },
    seen: without(seen, 'address'),
    ...(waiting && { waiting: without(waiting, 'lastSeen', 'until') }),
  };
}
