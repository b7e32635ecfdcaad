import type { Clock } from '@selvedge/api';

const targetMilliseconds = 3;
/** Between two steps this many times as long as a step took belongs to others. */
const restFactor = 4;
const firstSize = 100;
const minSize = 10;
const maxSize = 2000;

/** Long work on the thread of everybody, in steps of a few milliseconds with rests between them. */
export class SmallSteps {
  readonly #clock: Clock;
  readonly #maxSize: number;
  #size: number;
  #lastMilliseconds = 0;

  constructor(clock: Clock, sizes: { readonly first?: number; readonly max?: number } = {}) {
    this.#clock = clock;
    this.#size = sizes.first ?? firstSize;
    this.#maxSize = sizes.max ?? maxSize;
  }

  /** `step` is told how much to do, measures it, and returns whether there is more to do. */
  async run(step: (size: number) => Promise<boolean>): Promise<void> {
    while (await step(this.#size)) {
      const { signal } = new AbortController();
      await this.#clock.sleep(Math.max(1, this.#lastMilliseconds * restFactor), signal);
    }
  }

  /** Does a step's work and learns from how long it took. */
  measure(work: () => void): void {
    const start = performance.now();
    work();
    this.#lastMilliseconds = performance.now() - start;
    const wanted = (this.#size * targetMilliseconds) / Math.max(this.#lastMilliseconds, 0.1);
    this.#size = Math.round(
      Math.min(Math.max(wanted, this.#size / 2, minSize), this.#size * 2, this.#maxSize),
    );
  }
}
