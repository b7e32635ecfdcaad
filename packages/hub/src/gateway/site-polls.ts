import type { Clock } from '@selvedge/api';

export type PollOutcome =
  /** Something about the site changed: look again. */
  | 'changed'
  | 'timeout'
  /** A newer request of this site has taken over. */
  | 'superseded'
  | 'closing'
  /** The other side hung up. */
  | 'gone';

/** One site's request while it may wait. Close it in the end. */
export interface SitePoll {
  /** Waits for the next outcome; a change that came since the last call counts. */
  wait(milliseconds: number): Promise<PollOutcome>;
  close(): void;
}

/** The living long-polls, at most one per site. */
export class SitePolls {
  readonly #clock: Clock;
  readonly #polls = new Map<string, WaitingPoll>();
  #isClosing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#polls.size;
  }

  /** Opens the poll of a site and ends the one that it had. */
  open(site: string, gone: AbortSignal): SitePoll {
    this.#polls.get(site)?.end('superseded');
    const poll = new WaitingPoll(this.#clock, gone, () => {
      if (this.#polls.get(site) === poll) this.#polls.delete(site);
    });
    this.#polls.set(site, poll);
    if (this.#isClosing) poll.end('closing');
    return poll;
  }

  has(site: string): boolean {
    return this.#polls.has(site);
  }

  wake(site: string): void {
    this.#polls.get(site)?.wake();
  }

  /** Ends every poll, now and to come. */
  close(): void {
    this.#isClosing = true;
    for (const poll of this.#polls.values()) poll.end('closing');
  }
}

class WaitingPoll implements SitePoll {
  readonly #clock: Clock;
  readonly #gone: AbortSignal;
  readonly #onClose: () => void;
  readonly #onGone = () => this.end('gone');
  #hasChanged = false;
  #end: PollOutcome | undefined;
  #notify: (() => void) | undefined;

  constructor(clock: Clock, gone: AbortSignal, onClose: () => void) {
    this.#clock = clock;
    this.#gone = gone;
    this.#onClose = onClose;
    if (gone.aborted) this.#end = 'gone';
    gone.addEventListener('abort', this.#onGone);
  }

  async wait(milliseconds: number): Promise<PollOutcome> {
    if (!this.#isDue()) {
      const awake = new AbortController();
      this.#notify = () => awake.abort('news');
      await this.#clock.sleep(milliseconds, awake.signal);
      this.#notify = undefined;
    }
    if (this.#end !== undefined) return this.#end;
    if (!this.#hasChanged) return 'timeout';
    this.#hasChanged = false;
    return 'changed';
  }

  wake(): void {
    this.#hasChanged = true;
    this.#notify?.();
  }

  end(outcome: PollOutcome): void {
    this.#end ??= outcome;
    this.#notify?.();
  }

  close(): void {
    this.#gone.removeEventListener('abort', this.#onGone);
    this.#onClose();
  }

  #isDue(): boolean {
    return this.#hasChanged || this.#end !== undefined;
  }
}
