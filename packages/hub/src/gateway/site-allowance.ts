import type { Clock } from '@selvedge/api';

/** How much of something each site may do: `burst` at once, and `perSecond` in the long run. In memory only. */
export class SiteAllowance {
  readonly #clock: Clock;
  readonly #limits: { readonly burst: number; readonly perSecond: number };
  readonly #left = new Map<string, { amount: number; time: number }>();

  constructor(clock: Clock, limits: { burst: number; perSecond: number }) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Takes as much of `wanted` as is left to the site; returns how much that is. */
  take(site: string, wanted: number): number {
    const { burst, perSecond } = this.#limits;
    const time = this.#clock.now().getTime();
    const known = this.#left.get(site) ?? { amount: burst, time };
    // A clock that was set back gives nothing and takes nothing.
    const gained = (Math.max(0, time - known.time) / 1000) * perSecond;
    const amount = Math.min(burst, known.amount + gained);
    const taken = Math.min(wanted, Math.floor(amount));
    this.#left.set(site, { amount: amount - taken, time });
    return taken;
  }

  forget(site: string): void {
    this.#left.delete(site);
  }
}
