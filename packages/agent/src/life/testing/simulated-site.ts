import type { DesiredItem, ItemReport, SitePolicy } from '@selvedge/api';
import type { DriverReport } from '../../drivers/driver.ts';
import type { UnnumberedReport } from '../../state/report-book.ts';
import { composeReport } from '../compose-report.ts';
import { decideItem } from '../decide-item.ts';
import { rollBack } from '../go-back.ts';
import {
  type DriverView,
  freshDriver,
  type Given,
  hear,
  type ItemDecision,
  type ItemFacts,
} from '../item-facts.ts';
import { emptyMemory, findBindingVerdict, type ItemMemory } from '../item-memory.ts';
import type { Hold } from '../may-activate.ts';

/** What becomes of a release; the default is `runs`. */
export type SimulatedOutcome =
  | 'runs'
  | 'fails'
  | 'hangs'
  | 'half runs'
  | 'never prepared'
  | 'cannot be prepared';

/** One item at a site in no time: the true decisions, with a model of the driver and of what a crash leaves behind. */
export class SimulatedSite {
  memory: ItemMemory = emptyMemory;
  report: UnnumberedReport | undefined;
  readonly outcomes = new Map<string, SimulatedOutcome>();
  /** Digests whose content is not here; `lost`: the hub does not have it either. */
  readonly missing = new Set<string>();
  readonly lost = new Set<string>();
  hold: Hold | undefined;
  policy: SitePolicy = { timeZone: 'UTC' };
  isInContact = true;
  wentBack = 0;
  /** Digests in the order in which they were activated by a decision, with when. */
  readonly activations: {
    readonly target: DesiredItem;
    readonly time: Date;
    readonly isHeld: boolean;
    /** What was found out about it forbade it. */
    readonly isForbidden: boolean;
  }[] = [];
  /** What the driver has in force and what serves: outlives the agent. */
  #inForce: { digest: string; isProven: boolean } | undefined;
  serving: string | undefined;
  #driver: DriverView = freshDriver;
  #target: DesiredItem | undefined;
  #nowMs = Date.parse('2026-06-01T12:00:00.000Z');
  #offsetMs = 0;
  #decidedAtMs: number | undefined;

  /** What the driver is told to run or to prepare. */
  get driverHas(): Given | undefined {
    return this.#driver.given;
  }

  /** What is active by decision. */
  get active(): string | undefined {
    return this.memory.active?.digest;
  }

  get now(): Date {
    return new Date(this.#nowMs + this.#offsetMs);
  }

  timeIn(seconds: number): string {
    return new Date(this.now.getTime() + seconds * 1000).toISOString();
  }

  assign(target: DesiredItem): void {
    this.#target = target;
    this.decide();
  }

  /** Seconds by the hub's clock that it was wrong. */
  correctClock(seconds: number): void {
    this.#offsetMs += seconds * 1000;
    this.decide();
  }

  /** Time passes; the agent wakes when it wanted to. */
  pass(seconds: number): void {
    const endMs = this.#nowMs + seconds * 1000;
    for (let decision = this.decide(); ; decision = this.settle()) {
      const atMs = Math.min(endMs, this.#wakeAtMs(decision));
      this.#nowMs = Math.max(this.#nowMs, atMs);
      if (this.#nowMs >= endMs) break;
    }
    this.settle();
  }

  /** The driver does all it can do now, and the agent hears of it. */
  settle(): ItemDecision {
    for (let turn = 0; turn < 20; turn++) {
      const before = JSON.stringify([this.#driver, this.memory]);
      this.step();
      if (JSON.stringify([this.#driver, this.memory]) === before) break;
    }
    return this.decide();
  }

  /** One look of the driver, and what the agent makes of it. */
  step(): void {
    const said = this.#look();
    if (said !== undefined) this.#driver = hear(this.#driver, said);
    this.decide();
  }

  restart(options: { offSeconds: number }): void {
    this.memory = JSON.parse(JSON.stringify(this.memory)) as ItemMemory;
    this.#driver = freshDriver;
    this.#decidedAtMs = undefined;
    this.#nowMs += options.offSeconds * 1000;
    this.decide();
  }

  forgetMemory(): void {
    this.memory = emptyMemory;
    this.#driver = freshDriver;
    this.#decidedAtMs = undefined;
    this.report = undefined;
  }

  rollBack(): boolean {
    const done = rollBack(this.#facts(), { reason: 'RolledBackBySite', message: 'bad coffee' });
    if (done === undefined) return false;
    this.memory = done.memory;
    this.#driver = done.driver;
    this.decide();
    return true;
  }

  decide(): ItemDecision {
    const target = this.#target;
    const isForbidden = target !== undefined && findBindingVerdict(this.memory, target) !== undefined;
    const decision = decideItem(this.#facts());
    this.#decidedAtMs = this.#nowMs;
    this.memory = decision.memory;
    this.#driver = decision.driver;
    if (decision.wentBack !== undefined) this.wentBack += 1;
    if (decision.activated !== undefined && target !== undefined) {
      this.activations.push({ target, time: this.now, isHeld: this.hold !== undefined, isForbidden });
    }
    if (target === undefined) return decision;
    const last = this.report as ItemReport | undefined;
    this.report =
      composeReport({
        target,
        decision,
        last,
        trouble: undefined,
        now: this.now,
        correct: (time) => time,
      }) ?? this.report;
    return decision;
  }

  #facts(): ItemFacts {
    return {
      now: this.now,
      elapsedMs: this.#decidedAtMs === undefined ? 0 : Math.min(30_000, this.#nowMs - this.#decidedAtMs),
      target: this.#target,
      memory: this.memory,
      driver: this.#driver,
      policy: this.policy,
      hold: this.hold,
      isInContact: this.isInContact,
      isLooking: true,
      hasContent: (digest) => !this.missing.has(digest),
      isLost: (digest) => this.lost.has(digest),
    };
  }

  /** A driver that obeys its contract. */
  #look(): DriverReport | undefined {
    const { given } = this.#driver;
    if (given === undefined) return undefined;
    const outcome = this.outcomes.get(given.digest) ?? 'runs';
    const say = (state: DriverReport['state'], more: Partial<DriverReport> = {}): DriverReport => ({
      id: 'Application/shop/till',
      uid: 'uid',
      epoch: given.epoch,
      release: given.release,
      digest: given.digest,
      state,
      ...(this.serving === undefined ? {} : { runningDigest: this.serving, pods: this.#pods(this.serving) }),
      ...more,
      sinceTime: this.now.toISOString(),
      observedTime: this.now.toISOString(),
    });
    if (this.missing.has(given.digest)) return say('Pending');
    if (this.#inForce?.digest !== given.digest) {
      if (outcome === 'never prepared') return say('Preparing');
      if (outcome === 'cannot be prepared') return say('Failed', { reason: 'InsufficientSpace' });
      if (!given.mayActivate) return say('Prepared');
      this.#inForce = { digest: given.digest, isProven: this.serving === given.digest };
    }
    const activatedTime = this.now.toISOString();
    if (this.#inForce.isProven || outcome === 'runs') {
      this.#inForce.isProven = true;
      this.serving = given.digest;
      return say('Running');
    }
    if (outcome === 'half runs') this.serving = given.digest;
    if (outcome === 'fails') return say('Failed', { reason: 'CrashLoop', logs: ['boom'], activatedTime });
    return say('Activating');
  }

  /** Of what is in force. */
  #pods(digest: string): { wanted: number; ready: number } {
    return { wanted: 2, ready: this.outcomes.get(digest) === 'half runs' ? 1 : 2 };
  }

  #wakeAtMs({ wakeAt, wakeInMs }: ItemDecision): number {
    const atMs = wakeAt === undefined ? Number.POSITIVE_INFINITY : wakeAt.getTime() - this.#offsetMs;
    const inMs = wakeInMs === undefined ? Number.POSITIVE_INFINITY : this.#nowMs + wakeInMs;
    return Math.max(this.#nowMs + 1, Math.min(atMs, inMs));
  }
}
