import type { Change } from './change.ts';

export interface WindowLimits {
  readonly maxChanges: number;
  readonly maxBytes: number;
}

/** So many of the newest changes keep what was made of them for watchers. */
const encodedChanges = 128;

/** The newest changes of one resource, in order of revision; what is older is in the store's log. */
export class EventWindow {
  readonly #limits: WindowLimits;
  /** From `#first` on; what is before it is gone. */
  #changes: Change[] = [];
  #first = 0;
  #bytes = 0;
  /** All changes above it are here. Infinity: nothing is covered. */
  #start = Infinity;

  constructor(limits: WindowLimits) {
    this.#limits = limits;
  }

  /** Begins anew: all changes above the revision will be pushed. */
  open(revision: number): void {
    this.clear();
    this.#start = revision;
  }

  /** Covers nothing until it is opened. */
  clear(): void {
    this.#changes = [];
    this.#first = 0;
    this.#bytes = 0;
    this.#start = Infinity;
  }

  /** Whether no change above the revision is missing. */
  covers(revision: number): boolean {
    return revision >= this.#start;
  }

  push(change: Change): void {
    this.#changes.push(change);
    this.#bytes += change.bytes;
    const late = this.#changes.length - 1 - encodedChanges;
    if (late >= this.#first) this.#changes[late]?.forgetEncodings();
    while (
      this.#changes.length - this.#first > this.#limits.maxChanges ||
      this.#bytes > this.#limits.maxBytes
    ) {
      this.#forgetFirst();
    }
    if (this.#first > this.#limits.maxChanges) {
      this.#changes = this.#changes.slice(this.#first);
      this.#first = 0;
    }
  }

  #forgetFirst(): void {
    const change = this.#changes[this.#first];
    if (!change) return;
    this.#bytes -= change.bytes;
    this.#start = change.revision;
    (this.#changes as (Change | undefined)[])[this.#first] = undefined;
    this.#first += 1;
  }

  /** At most `limit` changes above the revision, and up to where they are all. */
  after(revision: number, limit: number): { changes: readonly Change[]; isEnd: boolean } {
    let low = this.#first;
    let high = this.#changes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#changes[middle]?.revision ?? 0) > revision) high = middle;
      else low = middle + 1;
    }
    const changes = this.#changes.slice(low, low + limit);
    return { changes, isEnd: low + limit >= this.#changes.length };
  }
}
