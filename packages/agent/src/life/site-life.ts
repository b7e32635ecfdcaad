import {
  type DesiredItem,
  type DesiredState,
  type LocalHold,
  type Logger,
  type SealedName,
  windowState,
} from '@selvedge/api';
import type { ItemNeeds } from '../depot/depot-needs.ts';
import type { Driver, DriverItem, DriverReport } from '../drivers/driver.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { unlessStorageFull } from '../state/agent-database.ts';
import type { ContentStore } from '../state/content-store.ts';
import type { HeldState } from '../state/held-state.ts';
import type { UnnumberedReport } from '../state/report-book.ts';
import { keyOf } from '../sync/merge-state.ts';
import { composeReport } from './compose-report.ts';
import { decideItem } from './decide-item.ts';
import { readManifests, textOf } from './driver-items.ts';
import { rollBack } from './go-back.ts';
import { freshDriver, hear, type ItemDecision, type ItemFacts, type WentBack } from './item-facts.ts';
import { emptyMemory, type ItemMemory, neededDigests } from './item-memory.ts';
import { neededSecrets, secretsFor, withHeldSecrets } from './held-secrets.ts';
import { isSameMemory, type ItemLife, newLife, noteSaid, noteValues } from './item-life.ts';
import type { ItemLogins } from './item-logins.ts';
import { needsOf } from './item-needs.ts';
import type { ItemSecrets } from './item-secrets.ts';
import { heldValuesOf, siteValuesOf, valuesThatChange } from './kept-values.ts';
import type { UnnumberedAct } from './local-acts.ts';
import type { RollbackOrder } from './local-orders.ts';
import { findLocalHold } from './local-holds.ts';
import { findDownloadWaiting, type Hold } from './may-activate.ts';
import type { ItemName, MemoryStore } from './memory-store.ts';
import { ReleaseReadiness } from './release-readiness.ts';
import { takeOverFormer } from './take-over-former.ts';

export interface SiteLifeOptions {
  readonly held: HeldState;
  readonly store: MemoryStore;
  readonly content: ContentStore;
  readonly secrets: ItemSecrets;
  readonly logins: ItemLogins;
  readonly driver: Driver;
  readonly clock: HubClock;
  readonly logger: Logger;
  readonly siteName: string;
  readonly monotonicMs: () => number;
  /** All of `work` is durable, or nothing of it. */
  readonly transaction: <T>(work: () => T) => T;
  readonly findReport: (item: ItemName) => UnnumberedReport | undefined;
  readonly onReport: (report: UnnumberedReport) => void;
  readonly addAct: (act: UnnumberedAct) => void;
  /** Something was decided anew; `isByTime`: because time passed. */
  readonly onDecided: (cause: { readonly isByTime: boolean }) => void;
  /** An order to remove it was given to the driver. */
  readonly isBeingRemoved: (item: ItemName) => boolean;
}

/**
 * Lives through the releases of each item at this site: hands facts to `decideItem`, keeps what it remembers on disk
 * before the driver is told of it, and wakes up when a window opens, an instant comes or a deadline passes.
 */
export class SiteLife {
  readonly #o: SiteLifeOptions;
  readonly #lives = new Map<string, ItemLife>();
  readonly #readiness: ReleaseReadiness;
  #holds: readonly LocalHold[] = [];
  /** Undefined: the hub was not asked yet. */
  #isInContact: boolean | undefined;
  #sent = '';
  #isStarted = false;
  #isDeciding = false;
  /** What is to be decided about anew. */
  #due: Set<ItemLife> | 'all' = new Set();
  #alarm = new AbortController();
  #edgesAtMs = Number.POSITIVE_INFINITY;

  constructor(options: SiteLifeOptions) {
    this.#o = options;
    this.#readiness = new ReleaseReadiness({ ...options, isHubLost: () => this.#isInContact === false });
    for (const { id, uid, memory } of options.store.loadAll(options.logger)) {
      this.#lives.set(keyOf({ id, uid }), newLife({ id, uid }, memory));
    }
    for (const { memory, ...item } of takeOverFormer(options)) {
      if (!this.#lives.has(keyOf(item))) this.#lives.set(keyOf(item), newLife(item, memory));
    }
    // Small steps matter for an instant that many sites share.
    options.clock.onCorrection(() => this.#alarm.abort(), 20);
  }

  /** Begins to give the driver what is to run. */
  start(): void {
    this.#isStarted = true;
    this.decide();
  }

  /** Wakes by itself when time changes something; until the signal fires. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#alarm = new AbortController();
      const waitMs = Math.max(shortestSleepMs, this.#untilWakeMs());
      await this.#o.clock.sleep(waitMs, AbortSignal.any([signal, this.#alarm.signal]));
      if (signal.aborted || this.#untilWakeMs() > 0) continue;
      this.decide({ isByTime: true });
    }
  }

  /** Decides no more: the database is about to be closed. */
  stop(): void {
    this.#isStarted = false;
  }

  setHolds(holds: readonly LocalHold[]): void {
    this.#holds = holds;
    this.decide();
  }

  setContact(isInContact: boolean): void {
    if (isInContact === this.#isInContact) return;
    this.#isInContact = isInContact;
    this.decide();
  }

  contentArrived(digest: string): void {
    this.#readiness.contentArrived(digest);
    // The driver is to ask for manifests again, also for those of what it was given before.
    this.#sent = '';
    this.decide();
  }

  contentDelayed(digest: string, trouble: { reason: string; message: string }): void {
    this.#readiness.contentDelayed(digest, trouble);
    this.decide();
  }

  /** What the driver says of an item that is not to be removed. */
  take(report: DriverReport): void {
    const life = this.#lives.get(keyOf(report));
    if (life === undefined) return;
    life.driver = hear(life.driver, report);
    noteSaid(life, report);
    if (this.#due !== 'all') this.#due.add(life);
    this.#decideDue({ isByTime: false });
  }

  /** The order to remove was carried out. */
  forget(item: ItemName): void {
    this.#o.store.remove(item);
    this.#lives.delete(keyOf(item));
  }

  knows(item: ItemName): boolean {
    return this.#lives.has(keyOf(item));
  }

  /** Items that run here, or did and may again. */
  get itemsHere(): ItemName[] {
    return [...this.#lives.values()]
      .filter(({ memory }) => memory.active !== undefined)
      .map(({ id, uid }) => ({ id, uid }));
  }

  /** Items that run here though no desired state names them any more, and no order to remove them came. */
  get orphans(): ItemName[] {
    const { held } = this.#o;
    if (held.accepted === undefined) return [];
    return this.itemsHere.filter((item) => !held.findDesired(item) && !held.hasRemoval(item));
  }

  holdOf(id: string): Hold | undefined {
    const local = findLocalHold(this.#holds, id);
    if (local !== undefined) {
      const what = local.item === undefined ? 'the whole site is' : 'it is';
      return { reason: 'SiteHold', message: `${what} on hold by ${local.by} at the site: ${local.reason}` };
    }
    const { hold } = this.#o.held.policy;
    return hold && { reason: 'HubHold', message: `the hub holds this site: ${hold.reason}` };
  }

  /** Digests that are not here and may be fetched now; what is active first. */
  contentToFetch(): string[] {
    const { held, content, clock } = this.#o;
    const now = clock.now();
    const wanted = new Set<string>();
    for (const { memory } of this.#lives.values()) if (memory.active) wanted.add(memory.active.digest);
    for (const item of held.items) {
      const phase = this.#lives.get(keyOf(item))?.decision?.phase;
      if (phase?.kind === 'WentBack') continue;
      if (findDownloadWaiting(item.terms, held.policy, now) === undefined) wanted.add(item.digest);
    }
    return [...wanted].filter((digest) => !content.has(digest));
  }

  /** Digests that have to stay here. */
  neededDigests(): string[] {
    return [...this.#lives.values()].flatMap(({ memory }) => neededDigests(memory));
  }

  /** Releases of which images may be needed here; undefined while it is not known what the site is to run. */
  needs(): ItemNeeds[] | undefined {
    const { held } = this.#o;
    const { variables } = held;
    if (variables === undefined) return undefined;
    return [...this.#lives.values()].map((life) => needsOf(life, { held, variables }));
  }

  /** Ids of RegistryCredentials that active releases were given. */
  get keptLogins(): string[] {
    return [...this.#lives.values()].flatMap(({ memory }) => memory.logins ?? []);
  }

  /** Sealed values that have to stay here. */
  neededSecrets(): SealedName[] {
    const { held, secrets, logins } = this.#o;
    const each = (life: ItemLife) => [
      ...neededSecrets(life, { wanted: held.findDesired(life), secrets }),
      ...logins.needed(life.memory),
    ];
    return [...this.#lives.values()].flatMap(each);
  }

  /**
   * A person takes back what is active. `note` is called with what came of it (undefined: there is nothing to go back to), in the
   * transaction that makes it durable. Throws, with nothing changed, on a full disk.
   */
  rollBack(order: RollbackOrder, note: (wentBack: WentBack | undefined) => void): void {
    const { held, store, transaction } = this.#o;
    const life = this.#lives.get(keyOf(order.item));
    const done =
      life &&
      rollBack(this.#factsOf(life, held.findDesired(life)), {
        reason: 'RolledBackBySite',
        message: `rolled back by ${order.by} at the site: ${order.reason}`,
      });
    transaction(() => {
      if (life !== undefined && done !== undefined) store.put(life, done.memory);
      note(done?.wentBack);
    });
    if (life === undefined || done === undefined) return;
    life.memory = done.memory;
    life.driver = done.driver;
    this.decide();
  }

  /**
   * To be called before a state with other variables, labels or node groups is taken: what is on hold keeps those of before. Throws on a full
   * disk.
   */
  keepSiteValues(next: DesiredState): void {
    const { held, store, transaction } = this.#o;
    const values = valuesThatChange(held, next);
    if (values === undefined) return;
    transaction(() => {
      for (const life of this.#lives.values()) {
        const isHeld = this.holdOf(life.id) !== undefined || next.policy.hold !== undefined;
        if (!isHeld || life.memory.active === undefined) continue;
        // What was kept at a change before is what it runs with.
        const memory = { ...values, ...life.memory };
        if (isSameMemory(memory, life.memory)) continue;
        store.put(life, memory);
        life.memory = memory;
      }
    });
  }

  /** What a full disk did not take is tried again. */
  save(): void {
    for (const life of this.#lives.values()) if (life.isUnsaved) this.#store(life, life.memory);
  }

  /** Decides anew for every item, and tells the driver and the hub what follows. */
  decide(cause = { isByTime: false }): void {
    this.#due = 'all';
    this.#decideDue(cause);
  }

  #decideDue(cause: { readonly isByTime: boolean }): void {
    if (!this.#isStarted || this.#isDeciding) return;
    this.#isDeciding = true;
    try {
      while (this.#due === 'all' || this.#due.size > 0) {
        const due = this.#due;
        this.#due = new Set();
        if (due === 'all') this.#decideAll();
        else if (this.#o.held.variables !== undefined) for (const life of due) this.#decideOne(life);
        this.#giveDriver();
      }
    } finally {
      this.#isDeciding = false;
      this.#alarm.abort();
    }
    this.#o.onDecided(cause);
  }

  #decideAll(): void {
    const { held, driver } = this.#o;
    this.#edgesAtMs = this.#findEdgesMs();
    // Without a proven state it is not known with which values anything is to run; the driver goes on by itself.
    const { variables } = held;
    if (variables === undefined) return;
    for (const item of held.items) {
      if (!item.id.startsWith(`${driver.kind}/`) || this.#lives.has(keyOf(item))) continue;
      this.#lives.set(keyOf(item), newLife(item, emptyMemory));
    }
    for (const life of this.#lives.values()) this.#decideOne(life);
  }

  #decideOne(life: ItemLife): void {
    const { held, logger, clock } = this.#o;
    const target = held.findDesired(life);
    if (this.#o.isBeingRemoved(life)) {
      // The driver removes it; wanted again, it is brought back from the beginning.
      life.driver = freshDriver;
      life.decision = undefined;
      return;
    }
    const facts = this.#factsOf(life, target);
    const {
      variables: _variables,
      labels: _labels,
      nodeGroups: _groups,
      secrets: _secrets,
      ...unheld
    } = facts.memory;
    const memory = facts.hold === undefined ? unheld : withHeldSecrets(life, this.#o.secrets);
    const decided = decideItem({ ...facts, memory });
    const decision = this.#readiness.withLogins(life, decided, target?.digest);
    life.decidedAtMs = this.#o.monotonicMs();
    const isChanged = !isSameMemory(life.memory, decision.memory);
    if (decision.wentBack !== undefined) life.unsavedActs.push(this.#actOf(life, decision.wentBack));
    if (isChanged && !this.#store(life, decision.memory) && decision.activated !== undefined) {
      // An activation that would not be remembered is none; anything else goes on in memory.
      logger.warn('the disk is full: a prepared release is not activated', { item: life.id });
      life.decision = { ...decision, driver: life.driver, memory: life.memory, wakeInMs: fullDiskRetryMs };
      return;
    }
    life.memory = decision.memory;
    life.driver = decision.driver;
    life.decision = decision;
    this.#tell(life, decision);
    if (target === undefined) return;
    const report = composeReport({
      target,
      decision,
      last: this.#o.findReport(life),
      trouble: this.#readiness.findTrouble(life, target.digest),
      now: clock.now(),
      correct: (time) => clock.correct(time),
    });
    if (report !== undefined) this.#o.onReport(report);
  }

  #tell({ id }: ItemLife, { activated, wentBack }: ItemDecision): void {
    const { logger } = this.#o;
    if (activated !== undefined) logger.info('release activated', { item: id, release: activated.release });
    if (wentBack !== undefined) {
      logger.warn('a release did not become healthy; the site goes back', {
        item: id,
        release: wentBack.from.release,
        to: wentBack.to.release,
        reason: wentBack.verdict.reason,
      });
    }
  }

  /** False when the disk is full. */
  #store(life: ItemLife, memory: ItemMemory): boolean {
    const { store, transaction, addAct } = this.#o;
    const isSaved = unlessStorageFull(() => {
      transaction(() => {
        store.put(life, memory);
        for (const act of life.unsavedActs) addAct(act);
      });
      life.unsavedActs = [];
    });
    life.isUnsaved = !isSaved;
    return isSaved;
  }

  #actOf({ id }: ItemLife, { from, to, verdict }: WentBack): UnnumberedAct {
    return {
      time: verdict.time,
      kind: 'WentBack',
      item: id,
      reason: verdict.reason,
      message: `${from.release} did not become healthy, the site went back to ${to.release} by itself: ${verdict.message}`,
    };
  }

  #factsOf(life: ItemLife, target: DesiredItem | undefined): ItemFacts {
    const { held, clock, driver, monotonicMs } = this.#o;
    return {
      now: clock.now(),
      // A machine that stood still for longer did not watch.
      elapsedMs: Math.min(longestCountedMs, Math.max(0, monotonicMs() - life.decidedAtMs)),
      target,
      memory: life.memory,
      driver: life.driver,
      policy: held.policy,
      hold: this.holdOf(life.id),
      isInContact: this.#isInContact === true,
      isLooking: driver.lastLook() !== undefined,
      hasContent: (digest) => this.#readiness.isReady(life, digest, target?.digest),
      isLost: (digest) => this.#readiness.isLost(digest),
    };
  }

  #giveDriver(): void {
    const { driver, held, content, siteName } = this.#o;
    const { variables } = held;
    if (variables === undefined) return;
    driver.setNodeGroups(held.policy.nodeGroups ?? []);
    const items: DriverItem[] = [];
    for (const life of this.#lives.values()) {
      const { given } = life.driver;
      if (given === undefined || life.decision === undefined) continue;
      const { release, digest, epoch, deadlineSeconds, mayFetch, mayActivate } = given;
      const { versions, missing } = secretsFor(life, digest, this.#o.secrets);
      const secrets = this.#o.secrets.values(life.id, versions);
      // Without its Secrets it is left as it is: that is no release without them.
      if (missing.length > 0 || secrets === undefined) continue;
      life.given = { digest, versions };
      const values = { ...siteValuesOf(held, variables), ...heldValuesOf(life.memory) };
      noteValues(life, values);
      const terms = held.findDesired(life)?.terms ?? { activate: 'Now', attempt: 0, prepareSeconds: 3600 };
      items.push({
        item: { id: life.id, uid: life.uid, epoch, release, digest, deadlineSeconds, terms },
        mayFetch,
        mayActivate,
        siteName,
        ...values,
        secrets,
        secretVersions: versions,
        logins: this.#o.logins.of(life.id, life.memory),
        manifests: () => readManifests(content, life.id, digest),
      });
    }
    const text = textOf(items);
    if (text === this.#sent) return;
    this.#sent = text;
    driver.setDesired(items);
  }

  /** When a window of the site opens or closes next: the hub is to know, also when no item waits for it. */
  #findEdgesMs(): number {
    const { held, clock } = this.#o;
    const edges = (['download', 'activate'] as const).flatMap(
      (kind) => windowState(held.policy, kind, clock.now()).changesAt ?? [],
    );
    return Math.min(Number.POSITIVE_INFINITY, ...edges.map((time) => Date.parse(time)));
  }

  #untilWakeMs(): number {
    const nowMs = this.#o.clock.now().getTime();
    const monotonicMs = this.#o.monotonicMs();
    // Before the hub has told the time, the machine's clock may be set at any moment.
    const longestMs = this.#o.clock.provenNow() === undefined ? longestUnprovenSleepMs : longestSleepMs;
    let waitMs = Math.min(longestMs, this.#edgesAtMs - nowMs);
    for (const { decision, decidedAtMs } of this.#lives.values()) {
      if (decision === undefined) continue;
      const { wakeAt, wakeInMs } = decision;
      const leftMs = wakeAt === undefined ? Number.NaN : wakeAt.getTime() - nowMs;
      if (!Number.isNaN(leftMs)) waitMs = Math.min(waitMs, leftMs);
      if (wakeInMs !== undefined) waitMs = Math.min(waitMs, wakeInMs - (monotonicMs - decidedAtMs));
    }
    return waitMs;
  }
}

/** Timers of Node are 32 bits wide, and a clock that is corrected now and then is not trusted for longer. */
const longestSleepMs = 3_600_000;
const longestCountedMs = 300_000;
const longestUnprovenSleepMs = 60_000;
const shortestSleepMs = 1;
const fullDiskRetryMs = 5000;
