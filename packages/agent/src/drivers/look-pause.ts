import type { Clock } from '@selvedge/api';

/** Events come in swarms: after the first one the others are waited for. */
export const settleMs = 150;

/** The time between two looks of a driver: as long as it asks for, or until something happens. */
export class LookPause {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #wake: () => void = () => undefined;
  #isWoken = false;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
  }

  /** Something happened: the next look begins soon, also when one is under way. */
  wakeUp(): void {
    this.#isWoken = true;
    this.#wake();
  }

  /** A look begins: what happens from now on leads to another. */
  beginLook(): void {
    this.#isWoken = false;
  }

  async wait(milliseconds: number): Promise<void> {
    if (!this.#isWoken) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await this.#clock.sleep(milliseconds, AbortSignal.any([woken.signal, this.#signal]));
      this.#wake = () => undefined;
    }
    if (this.#isWoken) await this.#clock.sleep(settleMs, this.#signal);
  }
}
