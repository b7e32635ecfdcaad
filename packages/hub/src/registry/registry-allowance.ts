import type { Clock } from '@selvedge/api';
import { RegistryError } from './registry-error.ts';

const keptMilliseconds = 10 * 60_000;

/** Bounds how many registries are asked: whoever chooses the names of images must not make the hub knock at every door of its network. */
export class RegistryAllowance {
  readonly #clock: Clock;
  readonly #most: number;
  /** Host → when it was last asked. */
  readonly #asked = new Map<string, number>();

  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.#most = most;
  }

  /** Throws RegistryError when the registry would be one too many. */
  take(host: string): void {
    const now = this.#clock.now().getTime();
    for (const [known, at] of this.#asked) {
      if (now - at >= keptMilliseconds) this.#asked.delete(known);
    }
    if (!this.#asked.has(host) && this.#asked.size >= this.#most) {
      throw new RegistryError(
        'TooManyRequests',
        `more than ${this.#most} registries were asked for within 10 minutes`,
      );
    }
    this.#asked.set(host, now);
  }
}
