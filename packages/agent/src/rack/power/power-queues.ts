import type { Clock } from '@selvedge/api';
import { LoginRefused, PowerError } from './power-driver.ts';

export interface PowerQueuesOptions {
  readonly clock: Clock;
  /** Between the end of one call and the start of the next one; milliseconds. */
  readonly gapMs?: number;
}

/** The queues of a rack, one for each BMC: several machines may be behind one address. */
export class PowerQueues {
  readonly #options: PowerQueuesOptions;
  readonly #queues = new Map<string, PowerQueue>();

  constructor(options: PowerQueuesOptions) {
    this.#options = options;
  }

  /** @param key of the BMC: scheme, host and port. */
  of(key: string): PowerQueue {
    let queue = this.#queues.get(key);
    if (!queue) {
      queue = new PowerQueue(this.#options);
      this.#queues.set(key, queue);
    }
    return queue;
  }
}

interface Waiting {
  readonly start: () => void;
  readonly fail: (error: PowerError) => void;
}

const defaultGapMs = 150;
const firstBackOffMs = 1_000;
const longestBackOffMs = 30_000;
/** A login that was refused is not tried again for so long: BMCs lock accounts. */
const refusedLoginMs = 300_000;

/**
 * Visits to one BMC, one after the other. After a visit that found nobody the next one waits, longer each time, up to 30 s; those that waited already fail with it,
 * so a dead BMC with many machines holds nobody up for long.
 */
export class PowerQueue {
  readonly #clock: Clock;
  readonly #gapMs: number;
  #isBusy = false;
  #waiting: Waiting[] = [];
  #failures = 0;
  /** Milliseconds of the clock: end of the last call, and when the next visit may begin. */
  #lastCall = -Infinity;
  #notBefore = -Infinity;
  readonly #refusedLogins = new Map<string, { until: number; error: LoginRefused }>();

  constructor({ clock, gapMs = defaultGapMs }: PowerQueuesOptions) {
    this.#clock = clock;
    this.#gapMs = gapMs;
  }

  /**
   * @param visit.login tells logins apart; it is kept in memory and never shown.
   * @returns what `work` returns; rejects as it does, or with the signal's reason.
   */
  async visit<T>(
    { login, signal }: { login: string; signal: AbortSignal },
    work: () => Promise<T>,
  ): Promise<T> {
    this.#refuseKnown(login);
    await this.#waitForTurn(signal);
    try {
      this.#refuseKnown(login);
      await this.#sleepUntil(this.#notBefore, { most: longestBackOffMs, signal });
      const result = await work();
      this.#failures = 0;
      return result;
    } catch (error) {
      this.#note(error, login);
      throw error;
    } finally {
      this.#endTurn();
    }
  }

  /** One call within a visit, at a distance from the last one. */
  async call<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#sleepUntil(this.#lastCall + this.#gapMs, { most: this.#gapMs, signal });
    try {
      return await work();
    } finally {
      this.#lastCall = this.#now();
    }
  }

  #refuseKnown(login: string): void {
    const refused = this.#refusedLogins.get(login);
    if (!refused) return;
    if (this.#now() >= refused.until) {
      this.#refusedLogins.delete(login);
      return;
    }
    const until = new Date(refused.until).toISOString();
    throw new LoginRefused(`${refused.error.message}; not tried again before ${until}: BMCs lock accounts`, {
      cause: refused.error,
    });
  }

  #note(error: unknown, login: string): void {
    if (!(error instanceof PowerError)) return;
    // Who waited meanwhile must not make it longer.
    if (error instanceof LoginRefused && !this.#refusedLogins.has(login))
      this.#refusedLogins.set(login, { until: this.#now() + refusedLoginMs, error });
    if (error.reason !== 'Unavailable') {
      this.#failures = 0;
      return;
    }
    const backOff = Math.min(longestBackOffMs, firstBackOffMs * 2 ** this.#failures);
    this.#failures += 1;
    this.#notBefore = this.#now() + backOff * (0.75 + Math.random() / 4);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { fail } of waiting) fail(error);
  }

  async #waitForTurn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#isBusy) {
      this.#isBusy = true;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const turn = { start: resolve, fail: reject };
    const giveUp = () => {
      this.#waiting = this.#waiting.filter((other) => other !== turn);
      reject(signal.reason as Error);
    };
    this.#waiting.push(turn);
    signal.addEventListener('abort', giveUp);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** The turn goes on to the next one without being free in between. */
  #endTurn(): void {
    const next = this.#waiting.shift();
    if (next) next.start();
    else this.#isBusy = false;
  }

  /** At most so long, in case somebody set the clock back. */
  async #sleepUntil(time: number, { most, signal }: { most: number; signal: AbortSignal }): Promise<void> {
    const wait = Math.min(time - this.#now(), most);
    if (wait > 0) await this.#clock.sleep(wait, signal);
    signal.throwIfAborted();
  }

  #now(): number {
    return this.#clock.now().getTime();
  }
}
