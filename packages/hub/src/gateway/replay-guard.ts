import type { Clock } from '@selvedge/api';

/**
 * Remembers one-time ids until they expire by themselves. Of several hubs on one database each remembers its own: a
 * request that is sent again to another one is answered again, and does nothing new, since a use of a token belongs to
 * one key.
 */
export class ReplayGuard {
  readonly #clock: Clock;
  readonly #expiry = new Map<string, number>();
  #nextSweep = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether the id is new; from now on it is not. @param expiresAt seconds since 1970. */
  isFirstUse(id: string, expiresAt: number): boolean {
    const now = this.#clock.now().getTime() / 1000;
    if (now >= this.#nextSweep) {
      for (const [known, expiry] of this.#expiry) if (expiry < now) this.#expiry.delete(known);
      this.#nextSweep = now + sweepSeconds;
    }
    if (this.#expiry.has(id)) return false;
    // Tokens are accepted for a minute beyond their expiry.
    this.#expiry.set(id, expiresAt + sweepSeconds);
    return true;
  }
}

const sweepSeconds = 60;
