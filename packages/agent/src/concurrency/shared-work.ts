interface Shared<T> {
  readonly work: Promise<T>;
  readonly over: AbortController;
  callers: number;
}

/** Work that several may want at the same time: it is done once, and broken off when nobody wants it any more. */
export class SharedWork<T> {
  readonly #shared = new Map<string, Shared<T>>();

  isUnderWay(key: string): boolean {
    return this.#shared.has(key);
  }

  /** Rejects with the signal's reason when that fires, whatever becomes of the work for others. */
  async join(key: string, signal: AbortSignal, begin: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const shared = this.#shared.get(key) ?? this.#begin(key, begin);
    shared.callers += 1;
    const { promise: left, reject } = Promise.withResolvers<never>();
    const leave = () => reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([shared.work, left]);
    } finally {
      signal.removeEventListener('abort', leave);
      shared.callers -= 1;
      if (shared.callers === 0) {
        shared.over.abort(signal.reason);
        // Whoever comes now must not wait for what is being broken off.
        if (this.#shared.get(key) === shared) this.#shared.delete(key);
        // Its files are free when it has ended.
        await shared.work.catch(() => {});
      }
    }
  }

  #begin(key: string, begin: (signal: AbortSignal) => Promise<T>): Shared<T> {
    const over = new AbortController();
    const before = this.#ending.get(key) ?? Promise.resolve();
    const work = before.then(() => begin(over.signal));
    const shared: Shared<T> = { work, over, callers: 0 };
    this.#shared.set(key, shared);
    const ended = work.then(
      () => {},
      () => {},
    );
    this.#ending.set(key, ended);
    void ended.then(() => {
      if (this.#shared.get(key) === shared) this.#shared.delete(key);
      if (this.#ending.get(key) === ended) this.#ending.delete(key);
    });
    return shared;
  }

  /** The last work of a key: the next one begins when that has let go of its files. */
  readonly #ending = new Map<string, Promise<void>>();
}
