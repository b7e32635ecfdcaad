import { boundedInventory, type InventoryParts, inventoryParts, type InventoryReport } from '@selvedge/api';
import { applyInventoryReport, inventoryDelta, inventoryDigest } from '@selvedge/api/node';
import type { Driver } from '../drivers/driver.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { type AgentDatabase, unlessStorageFull } from '../state/agent-database.ts';
import { findMeta, putMeta } from '../state/enrolment-record.ts';

interface Present {
  readonly parts: InventoryParts;
  readonly digest: string;
  readonly time: string;
}

/**
 * What the hub is to hear of the site's inventory: differences to what it has, no more often than every 30 seconds. Across restarts only the
 * digest of what the hub has is kept: while that is what the site has, the hub is merely asked whether it has it still; so it is when
 * another hub answers, and twice a day.
 */
export class InventoryNews {
  readonly #database: AgentDatabase;
  readonly #driver: Driver;
  readonly #clock: HubClock;
  /** As last read; undefined: to be read. */
  #present: Present | undefined;
  #toldDigest: string;
  /** What the hub has; undefined: only its digest is known. */
  #toldParts: InventoryParts | undefined;
  #sent: { readonly report: InventoryReport; readonly leadsTo: InventoryParts } | undefined;
  #isInDoubt = true;
  /** By the monotonic clock. */
  #nextAtMs = Number.NEGATIVE_INFINITY;
  #askAtMs = Number.POSITIVE_INFINITY;
  /** How often in a row the hub did not take all of it. */
  #refusals = 0;

  constructor(options: { database: AgentDatabase; driver: Driver; clock: HubClock; onNews: () => void }) {
    this.#database = options.database;
    this.#driver = options.driver;
    this.#clock = options.clock;
    this.#toldDigest = findMeta(options.database, metaKey) ?? '';
    options.driver.onInventory(() => {
      this.#present = undefined;
      options.onNews();
    });
  }

  /** Milliseconds until there is something to send; undefined: nothing, as far as is known. */
  dueInMs(): number | undefined {
    const present = this.#read();
    if (present === undefined) return undefined;
    const now = this.#clock.monotonicNow();
    const isNews = this.#isInDoubt || present.digest !== this.#toldDigest;
    return Math.max(0, (isNews ? this.#nextAtMs : this.#askAtMs) - now);
  }

  /** What is to be sent now, of `maxBytes` or little more. Counts as sent: the same comes again only after a while. */
  take(maxBytes: number): InventoryReport | undefined {
    const present = this.#read();
    if (present === undefined || this.dueInMs() !== 0) return undefined;
    const { parts, digest, time } = present;
    const isKnown = digest === this.#toldDigest;
    const before = isKnown ? parts : (this.#toldParts ?? {});
    const report = { ...inventoryDelta(before, parts, maxBytes), observedTime: time };
    this.#sent = { report, leadsTo: applyInventoryReport(before, report) ?? parts };
    this.#nextAtMs = this.#clock.monotonicNow() + leastPauseMs;
    return report;
  }

  /** The hub has answered the request that carried it. @param isMissing it does not have what the difference starts from. */
  answered(report: InventoryReport, isMissing: boolean): void {
    const sent = this.#sent;
    if (sent?.report !== report) return;
    this.#sent = undefined;
    const now = this.#clock.monotonicNow();
    this.#isInDoubt = false;
    this.#askAtMs = now + askAgainMs * (0.9 + Math.random() / 5);
    if (!isMissing) {
      this.#refusals = 0;
      this.#remember(sent.report.to, sent.leadsTo);
      return;
    }
    // A hub of another version may not be able to take it at all.
    this.#refusals = report.from === '' ? this.#refusals + 1 : 0;
    const pauseMs = this.#refusals === 0 ? 0 : leastPauseMs * 2 ** this.#refusals;
    this.#nextAtMs = now + Math.min(longestPauseMs, pauseMs);
    this.#remember('', {});
  }

  /** Another hub answers, or one with another memory. */
  doubt(): void {
    this.#isInDoubt = true;
  }

  #read(): Present | undefined {
    if (this.#present !== undefined) return this.#present;
    const inventory = this.#driver.inventory();
    if (inventory === undefined) return undefined;
    const parts = inventoryParts(boundedInventory(inventory));
    this.#present = { parts, digest: inventoryDigest(parts), time: this.#clock.now().toISOString() };
    return this.#present;
  }

  #remember(digest: string, parts: InventoryParts): void {
    this.#toldParts = parts;
    if (digest === this.#toldDigest) return;
    this.#toldDigest = digest;
    unlessStorageFull(() => putMeta(this.#database, metaKey, digest));
  }
}

const metaKey = 'inventoryDigest';
const leastPauseMs = 30_000;
const longestPauseMs = 3_600_000;
const askAgainMs = 43_200_000;
