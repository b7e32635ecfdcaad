import type { Clock } from '@selvedge/api';
import type { ApiResponse } from './exchange.ts';

export interface PacedWriterOptions {
  readonly res: ApiResponse;
  readonly clock: Clock;
  /** So many bytes may wait to be taken before the next are written. */
  readonly maxWaitingBytes: number;
}

/** A client that takes nothing for so long is dropped. */
const drainTimeoutMs = 30_000;

/** Writes as fast as the client reads. What waits for a slow one is bounded, and one that has stopped reading is dropped. */
export class PacedWriter {
  readonly #o: PacedWriterOptions;
  readonly #gone = new AbortController();
  #waiting = 0;
  #wake = () => {};
  #isDropped = false;

  constructor(options: PacedWriterOptions) {
    this.#o = options;
    const onGone = () => {
      this.#gone.abort();
      this.#wake();
    };
    options.res.once('close', onGone);
    options.res.once('error', onGone);
  }

  /** The client is gone, or was dropped. */
  get isOver(): boolean {
    return this.#gone.signal.aborted || this.#o.res.destroyed;
  }

  /** It was dropped, because it took nothing. */
  get isDropped(): boolean {
    return this.#isDropped;
  }

  /** Resolves when the next may be written; false when the client is gone or was dropped. */
  async write(bytes: Buffer | string): Promise<boolean> {
    if (this.isOver) return false;
    const length = typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length;
    this.#waiting += length;
    this.#o.res.write(bytes, () => {
      this.#waiting -= length;
      this.#wake();
    });
    while (this.#waiting > this.#o.maxWaitingBytes && !this.isOver) {
      if (!(await this.#taken())) return false;
    }
    return !this.isOver;
  }

  /** Waits until something was taken; drops the client when that takes too long. */
  async #taken(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#waiting;
    this.#wake = resolve;
    const waited = new AbortController();
    const timeout = this.#o.clock.sleep(drainTimeoutMs, waited.signal);
    await Promise.race([promise, timeout]);
    waited.abort();
    if (this.isOver) return false;
    if (this.#waiting < before) return true;
    this.#isDropped = true;
    this.#gone.abort();
    this.#o.res.destroy();
    return false;
  }
}
