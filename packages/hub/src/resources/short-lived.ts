import type { Clock } from '@selvedge/api';

/** A value that is loaded when asked for and kept for a moment, so that a burst of readers loads it once. */
export class ShortLived<T> {
  readonly #clock: Clock;
  readonly #milliseconds: number;
  readonly #load: () => Promise<T>;
  #value: Promise<T> | undefined;
  #loadedAt = 0;

  constructor(options: { clock: Clock; milliseconds: number; load: () => Promise<T> }) {
    this.#clock = options.clock;
    this.#milliseconds = options.milliseconds;
    this.#load = options.load;
  }

  get(): Promise<T> {
    const now = this.#clock.now().getTime();
    if (this.#value === undefined || Math.abs(now - this.#loadedAt) >= this.#milliseconds) {
      this.#loadedAt = now;
      const value = this.#load();
      this.#value = value;
      // A failed load is not kept; whoever asked gets the error.
      value.catch(() => {
        if (this.#value === value) this.#value = undefined;
      });
    }
    return this.#value;
  }
}
