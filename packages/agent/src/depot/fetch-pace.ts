import type { Clock } from '@selvedge/api';
import type { FetchPlace } from './fetch-places.ts';

/** It made too little of its place while others waited for one. */
export class GaveWay extends Error {
  override readonly name = 'GaveWay';
}

const lookMs = 5000;
const slowLooks = 12;
/** Of a minute: a fetch that makes less does not keep others waiting. */
const leastBytes = 60 * 1024;

/** Takes the place of a fetch that hardly moves when others want it. */
export class FetchPace {
  /** What has arrived. */
  bytes = 0;
  /** It waits for this machine, its disk or its bandwidth cap, and not for the other side. */
  isOurs = true;
  readonly #over = new AbortController();
  readonly #gaveWay = new AbortController();

  constructor(place: FetchPlace, clock: Clock) {
    void this.#watch(place, clock);
  }

  /** Fires with GaveWay. */
  get signal(): AbortSignal {
    return this.#gaveWay.signal;
  }

  end(): void {
    this.#over.abort();
  }

  async #watch(place: FetchPlace, clock: Clock): Promise<void> {
    const looks: number[] = [];
    for (;;) {
      await clock.sleep(lookMs, this.#over.signal).catch(() => {});
      if (this.#over.signal.aborted) return;
      if (this.isOurs) looks.length = 0;
      else looks.push(this.bytes);
      const before = looks.at(-1 - slowLooks);
      if (before === undefined || this.bytes - before >= leastBytes || !place.isWantedElsewhere) continue;
      this.#gaveWay.abort(new GaveWay('it hardly moved while others waited'));
      return;
    }
  }
}
