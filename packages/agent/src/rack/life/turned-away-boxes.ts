import { addSeconds } from './machine-record.ts';

/** Boxes that the rack does not remember: how many came of late, for people to know that not all is shown. */
export class TurnedAwayBoxes {
  /** By MAC address: when it came last; who came last is the last. */
  readonly #seenAt = new Map<string, string>();

  add(macAddress: string, now: string): void {
    this.#seenAt.delete(macAddress);
    this.#seenAt.set(macAddress, now);
    const [oldest] = this.#seenAt.keys();
    if (this.#seenAt.size > mostCounted && oldest !== undefined) this.#seenAt.delete(oldest);
  }

  /** Undefined: none came within the last hour. */
  since(now: string): { turnedAway: number; lastSeenTime: string } | undefined {
    const hourAgo = addSeconds(now, -rememberedSeconds);
    for (const [macAddress, time] of this.#seenAt) if (time <= hourAgo) this.#seenAt.delete(macAddress);
    const lastSeenTime = [...this.#seenAt.values()].at(-1);
    return lastSeenTime === undefined ? undefined : { turnedAway: this.#seenAt.size, lastSeenTime };
  }
}

const mostCounted = 1000;
const rememberedSeconds = 3600;
