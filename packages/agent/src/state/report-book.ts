import type { ItemReport } from '@selvedge/api';
import { reportsDigest } from '@selvedge/api/node';
import { unlessStorageFull, type AgentDatabase } from './agent-database.ts';
import { findMeta, putMeta } from './enrolment-record.ts';

/** What is said of an item, before it gets its number. */
export type UnnumberedReport = Omit<ItemReport, 'seq'>;

interface Entry {
  report: ItemReport;
  isDelivered: boolean;
  isSaved: boolean;
  /** Its times were taken with this process' idea of the hub's clock. */
  isOfThisRun: boolean;
}

/**
 * The newest report of each item. Numbers (`seq`) are reserved on disk in blocks, so none is used twice after a crash, and
 * reports can be made and sent while the disk is full; they are saved when there is space again.
 */
export class ReportBook {
  readonly #database: AgentDatabase;
  readonly #entries = new Map<string, Entry>();
  #nextSeq: number;
  #reservedSeq: number;

  constructor(database: AgentDatabase) {
    this.#database = database;
    this.#reservedSeq = Number(findMeta(database, 'reservedSeq') ?? 0);
    this.#nextSeq = this.#reservedSeq + 1;
    for (const row of database.all('SELECT * FROM reports')) {
      const report = JSON.parse(row['body'] as string) as ItemReport;
      const isDelivered = row['delivered'] === 1;
      this.#entries.set(key(report), { report, isDelivered, isSaved: true, isOfThisRun: false });
    }
  }

  /** Numbers from here on. For enrolment: an agent that lost its disk must not speak with the numbers of its past. */
  startAt(seq: number): void {
    if (seq <= this.#nextSeq) return;
    this.#nextSeq = seq;
    this.#reserve();
  }

  /**
   * Takes a report when it says something new. `renewed`: only that the same still holds, later. `unchanged`: not even that much
   * later, so it was dropped. Throws when numbers have run out on a full disk: give it again later.
   */
  record(report: UnnumberedReport): 'changed' | 'renewed' | 'unchanged' {
    const held = this.#entries.get(key(report));
    if (held !== undefined && saysTheSame(held.report, report)) {
      const age = Date.parse(report.observedTime) - Date.parse(held.report.observedTime);
      if (age < renewalMs) return 'unchanged';
      this.#put({ ...report, seq: this.#takeSeq() });
      return 'renewed';
    }
    this.#put({ ...report, seq: this.#takeSeq() });
    return 'changed';
  }

  find(item: { id: string; uid: string }): ItemReport | undefined {
    return this.#entries.get(key(item))?.report;
  }

  all(): ItemReport[] {
    return [...this.#entries.values()].map((entry) => entry.report);
  }

  undelivered(): ItemReport[] {
    return [...this.#entries.values()].filter((entry) => !entry.isDelivered).map((entry) => entry.report);
  }

  digest(): string {
    return reportsDigest(this.all());
  }

  /** The hub has these, or newer ones, durably. */
  markDelivered(sent: readonly ItemReport[]): void {
    for (const report of sent) {
      const entry = this.#entries.get(key(report));
      if (entry?.report.seq !== report.seq || entry.isDelivered) continue;
      entry.isDelivered = true;
      entry.isSaved = false;
    }
    this.save();
  }

  /** All are to be sent again. */
  markAllUndelivered(): void {
    for (const entry of this.#entries.values()) {
      entry.isDelivered = false;
      entry.isSaved = false;
    }
    this.save();
  }

  /** The hub knows higher numbers of this site than the agent ever gave: they are from before its disk was lost. */
  renumberAbove(seq: number): boolean {
    if (seq < this.#nextSeq) return false;
    this.#nextSeq = seq + 1;
    this.#reserve();
    for (const entry of this.#entries.values()) this.#put({ ...entry.report, seq: this.#takeSeq() });
    return true;
  }

  /** The time known here was wrong: reports of this run that the hub does not have yet are put right. */
  correctTimes(changeMs: number): void {
    for (const entry of this.#entries.values()) {
      if (entry.isDelivered || !entry.isOfThisRun) continue;
      const { sinceTime, observedTime } = entry.report;
      entry.report = {
        ...entry.report,
        sinceTime: shift(sinceTime, changeMs),
        observedTime: shift(observedTime, changeMs),
      };
      entry.isSaved = false;
    }
    this.save();
  }

  /** Forgets reports of items that are neither wanted nor to be removed any more. */
  retain(isWanted: (item: { id: string; uid: string }) => boolean): void {
    for (const { report } of this.#entries.values()) {
      if (isWanted(report)) continue;
      this.#entries.delete(key(report));
      this.#database.run('DELETE FROM reports WHERE id = ? AND uid = ?', report.id, report.uid);
    }
  }

  /** Writes what a full disk did not take before; false while it still does not. */
  save(): boolean {
    const unsaved = [...this.#entries.values()].filter((entry) => !entry.isSaved);
    if (unsaved.length === 0) return true;
    const isSaved = unlessStorageFull(() => {
      this.#database.transaction(() => {
        for (const { report, isDelivered } of unsaved) {
          this.#database.run(
            'INSERT OR REPLACE INTO reports (id, uid, seq, delivered, body) VALUES (?, ?, ?, ?, ?)',
            report.id,
            report.uid,
            report.seq,
            isDelivered ? 1 : 0,
            JSON.stringify(report),
          );
        }
      });
    });
    if (isSaved) for (const entry of unsaved) entry.isSaved = true;
    return isSaved;
  }

  #put(report: ItemReport): void {
    this.#entries.set(key(report), { report, isDelivered: false, isSaved: false, isOfThisRun: true });
    this.save();
  }

  #takeSeq(): number {
    if (this.#nextSeq > this.#reservedSeq) this.#reserve();
    return this.#nextSeq++;
  }

  #reserve(): void {
    const upTo = this.#nextSeq + blockSize - 1;
    putMeta(this.#database, 'reservedSeq', String(upTo));
    this.#reservedSeq = upTo;
  }
}

const blockSize = 1000;
const renewalMs = 300_000;

function key(item: { id: string; uid: string }): string {
  return `${item.id} ${item.uid}`;
}

function saysTheSame(held: ItemReport, report: UnnumberedReport): boolean {
  const { seq: _seq, observedTime: _heldTime, ...old } = held;
  const { observedTime: _newTime, ...now } = report;
  return JSON.stringify(sorted(old)) === JSON.stringify(sorted(now));
}

function sorted(value: object): [string, unknown][] {
  return Object.entries(value)
    .filter(([, part]) => part !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function shift(time: string, changeMs: number): string {
  const moved = new Date(Date.parse(time) + changeMs);
  return Number.isNaN(moved.getTime()) ? time : moved.toISOString();
}
