import { StatusError } from '@selvedge/api';

/**
 * Bounds how many requests are worked on at once: beyond, they are told to come back, spread over a time that grows
 * with the size of the fleet. Bodies on their way and long-polls hold no place in work.
 */
export class AdmissionControl {
  readonly #maxInWork: number;
  readonly #random: () => number;
  #inWork = 0;
  /** In work, or let in and waiting. */
  #open = 0;
  #isClosing = false;
  #onIdle: (() => void) | undefined;

  constructor(options: { maxInWork: number; random: () => number }) {
    this.#maxInWork = options.maxInWork;
    this.#random = options.random;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** Takes a place in work. Throws ServiceUnavailable. @param fleetSize for the jitter. */
  enter(fleetSize: number): Place {
    if (this.#isClosing) throw this.#unavailable('the hub is stopping', fleetSize);
    if (this.#inWork >= this.#maxInWork) throw this.#unavailable('the hub is busy', fleetSize);
    this.#open += 1;
    const countWork = (change: 1 | -1) => {
      this.#inWork += change;
    };
    return new Place(countWork, () => {
      this.#open -= 1;
      if (this.#open === 0) this.#onIdle?.();
    });
  }

  /** A moment at which one of `fleetSize` agents may come back without all coming at once. */
  retryAfterSeconds(fleetSize: number): number {
    const spread = Math.max(4, fleetSize / reconnectsPerSecond);
    return Math.round((1 + this.#random() * spread) * 10) / 10;
  }

  /** Lets no more requests in; resolves when those that are in have left. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.#open === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #unavailable(why: string, fleetSize: number): StatusError {
    const retryAfterSeconds = this.retryAfterSeconds(fleetSize);
    return new StatusError('ServiceUnavailable', `${why}: ask again in ${retryAfterSeconds} s`, {
      details: { retryAfterSeconds },
    });
  }
}

/** One request's place in work. Leave in the end. */
export class Place {
  readonly #countWork: (change: 1 | -1) => void;
  readonly #onLeave: () => void;
  #isInWork = true;

  constructor(countWork: (change: 1 | -1) => void, onLeave: () => void) {
    this.#countWork = countWork;
    this.#onLeave = onLeave;
    countWork(1);
  }

  /** Gives the place back for the time of a wait for the other side: slow links hold nobody up. */
  async outside<T>(wait: () => Promise<T>): Promise<T> {
    this.giveBack();
    try {
      return await wait();
    } finally {
      this.#isInWork = true;
      this.#countWork(1);
    }
  }

  /** Gives the place back for good, while the request stays open: a long-poll. */
  giveBack(): void {
    if (!this.#isInWork) return;
    this.#isInWork = false;
    this.#countWork(-1);
  }

  leave(): void {
    this.giveBack();
    this.#onLeave();
  }
}

/** What two cores take with TLS handshakes, with room to spare. */
const reconnectsPerSecond = 200;
