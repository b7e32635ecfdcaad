/** A bell that stays rung until somebody has heard it. */
export class WakeUp {
  #isRung = false;
  #heard: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#heard?.();
  }

  /** Resolves at the next ring, at once when it rang unheard; also when the signal fires. One listener at a time. */
  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#isRung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      this.#heard = undefined;
    }
    if (!signal.aborted) this.#isRung = false;
  }
}
