/** So many are woken before others get their turn. */
const slice = 64;

/** Where those wait who have seen all there is. */
export class WaitingRoom {
  #waiting = new Set<() => void>();
  #leaving: (() => void)[] = [];
  #isCalling = false;

  get size(): number {
    return this.#waiting.size + this.#leaving.length;
  }

  /** `called` resolves with the next call. `leave` ends the wait at once. */
  enter(): { readonly called: Promise<void>; readonly leave: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add(resolve);
    const leave = () => {
      this.#waiting.delete(resolve);
      resolve();
    };
    return { called: promise, leave };
  }

  /** Lets all out now. */
  callAtOnce(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const resolve of waiting) resolve();
  }

  /** Lets all out soon, a few at a time, so that thousands of them do not hold up everything else. */
  call(): void {
    if (this.#waiting.size === 0) return;
    this.#leaving.push(...this.#waiting);
    this.#waiting = new Set();
    if (this.#isCalling) return;
    this.#isCalling = true;
    setImmediate(() => this.#letOut());
  }

  #letOut(): void {
    for (const resolve of this.#leaving.splice(0, slice)) resolve();
    if (this.#leaving.length > 0) setImmediate(() => this.#letOut());
    else this.#isCalling = false;
  }
}
