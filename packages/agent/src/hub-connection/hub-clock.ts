import type { Clock } from '@selvedge/api';

/**
 * The hub's time, as well as this agent knows it. The machine's clock may be years off and may jump: once the hub
 * has answered, its time is carried on by the monotonic clock, and the machine's clock no longer matters. Never sets
 * the machine's clock.
 */
export class HubClock implements Clock {
  readonly #machine: Clock;
  readonly #monotonicMs: () => number;
  #offsetMs: number;
  #anchor: { hubMs: number; monotonicMs: number } | undefined;
  readonly #listeners: { readonly listener: (changeMs: number) => void; readonly leastMs: number }[] = [];

  constructor(options: {
    clock: Clock /** From the last run. */;
    savedOffsetMs?: number;
    monotonicMs?: () => number;
  }) {
    this.#machine = options.clock;
    this.#monotonicMs = options.monotonicMs ?? (() => performance.now());
    this.#offsetMs = options.savedOffsetMs ?? 0;
  }

  now(): Date {
    return this.provenNow() ?? new Date(this.#machine.now().getTime() + this.#offsetMs);
  }

  /** Only when the hub has told its time since this process started: a saved offset proves nothing after a reboot. */
  provenNow(): Date | undefined {
    if (this.#anchor === undefined) return undefined;
    return new Date(this.#anchor.hubMs + this.#monotonicMs() - this.#anchor.monotonicMs);
  }

  /** Milliseconds that never jump, for measuring waits. */
  monotonicNow(): number {
    return this.#monotonicMs();
  }

  machineNow(): Date {
    return this.#machine.now();
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return this.#machine.sleep(milliseconds, signal);
  }

  /**
   * What to add to the machine's clock. It moves in steps of at least two seconds, so that two reports of one fact do not differ by
   * the network's mood.
   */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** A time of the machine's clock, in RFC 3339, put right. Text that is no time stays. */
  correct(machineTime: string): string {
    const time = new Date(Date.parse(machineTime) + this.#offsetMs);
    return Number.isNaN(time.getTime()) ? machineTime : time.toISOString();
  }

  /** To be called the moment an answer arrives. Text that is no time is ignored. */
  observe(hubTime: string | undefined): void {
    const hubMs = hubTime === undefined ? Number.NaN : Date.parse(hubTime);
    if (Number.isNaN(hubMs)) return;
    const before = this.now().getTime();
    this.#anchor = { hubMs, monotonicMs: this.#monotonicMs() };
    const offsetMs = hubMs - this.#machine.now().getTime();
    if (Math.abs(offsetMs - this.#offsetMs) >= noticeableMs) this.#offsetMs = offsetMs;
    const changeMs = hubMs - before;
    for (const { listener, leastMs } of this.#listeners) {
      if (Math.abs(changeMs) >= leastMs) listener(changeMs);
    }
  }

  /** Called when the time known here turned out to be wrong by so much or more. */
  onCorrection(listener: (changeMs: number) => void, leastMs = noticeableMs): void {
    this.#listeners.push({ listener, leastMs });
  }
}

const noticeableMs = 2000;
