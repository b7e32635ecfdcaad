import type { Clock } from '@selvedge/api';

/** An agent keeps a wish for as long; one that was told is told again when the wish is renewed. */
export const wishMilliseconds = 30_000;

interface Wish {
  readonly until: number;
  isTold: boolean;
}

/** Which sites somebody wants to reach: what the answers to their polls say. */
export class LinkWishes {
  readonly #clock: Clock;
  readonly #wishes = new Map<string, Wish>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param until milliseconds since 1970. */
  wish(site: string, until: number): void {
    this.#wishes.set(site, { until, isTold: false });
  }

  /** Whether the site has yet to be told. */
  isDue(site: string): boolean {
    const wish = this.#wishes.get(site);
    if (wish === undefined) return false;
    if (wish.until <= this.#clock.now().getTime()) {
      this.#wishes.delete(site);
      return false;
    }
    return !wish.isTold;
  }

  /** The answer that goes out says so. */
  told(site: string): void {
    const wish = this.#wishes.get(site);
    if (wish) wish.isTold = true;
  }

  /** The link is there, or the site is gone. */
  forget(site: string): void {
    this.#wishes.delete(site);
  }
}
