/** Waits that grow from 1 s to 30 s, each between half and all of its length, so that sites do not come back in step. */
export class BackOff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(options: { firstMs?: number; longestMs?: number; random?: () => number } = {}) {
    this.#firstMs = options.firstMs ?? 1000;
    this.#longestMs = options.longestMs ?? 30_000;
    this.#random = options.random ?? Math.random;
  }

  get failures(): number {
    return this.#failures;
  }

  nextMs(): number {
    const wholeMs = Math.min(this.#longestMs, this.#firstMs * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 30);
    return wholeMs * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}
