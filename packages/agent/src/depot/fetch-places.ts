/** Whoever holds one may fetch. */
export interface FetchPlace {
  /** Somebody who fetches from elsewhere waits for a place. */
  readonly isWantedElsewhere: boolean;
  end(): void;
}

interface Waiting {
  readonly source: string;
  readonly isPatient: boolean;
  readonly enter: () => void;
}

/** The places for what is fetched at a time. Who waits goes in order; who gave up a place for being slow comes after all others. */
export class FetchPlaces {
  readonly #waiting: Waiting[] = [];
  #free: number;

  constructor(count: number) {
    this.#free = count;
  }

  /** @param source where it is fetched from. Rejects with the signal's reason. */
  async take(
    { source, isPatient }: { readonly source: string; readonly isPatient: boolean },
    signal: AbortSignal,
  ): Promise<FetchPlace> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait({ source, isPatient }, signal);
    const waiting = this.#waiting;
    return {
      get isWantedElsewhere() {
        return waiting.some((other) => other.source !== source);
      },
      end: () => this.#next(),
    };
  }

  #next(): void {
    const next = this.#waiting.find(({ isPatient }) => !isPatient) ?? this.#waiting[0];
    if (next === undefined) this.#free += 1;
    else next.enter();
  }

  #wait(who: Omit<Waiting, 'enter'>, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leaveQueue = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        signal.removeEventListener('abort', leave);
      };
      const leave = () => {
        leaveQueue();
        reject(signal.reason as Error);
      };
      const enter = () => {
        leaveQueue();
        resolve();
      };
      const waiting = { ...who, enter };
      this.#waiting.push(waiting);
      signal.addEventListener('abort', leave, { once: true });
    });
  }
}
