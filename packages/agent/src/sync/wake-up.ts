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
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#heard = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
      await promise;
      // Whoever listens by now may have come while this one was on its way out.
      if (this.#heard === resolve) this.#heard = undefined;
    }
    if (!signal.aborted) this.#isRung = false;
  }
}
