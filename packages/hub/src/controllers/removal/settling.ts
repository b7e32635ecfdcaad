const settleMilliseconds = 2_000;

/**
 * Sites are relabelled one by one, and a selector is mended a moment after it was spoilt: what is to be removed is judged once
 * it has stayed the same for a while, so that the first few of many do not slip through. In memory: a hub that is started anew
 * waits again.
 */
export class Settling {
  readonly #seen = new Map<string, { readonly targets: string; readonly since: number }>();

  /** Seconds until these targets have stayed the same for long enough; 0: they have. */
  secondsLeft(key: string, targets: readonly string[], now: Date): number {
    const text = [...targets].sort().join(' ');
    const at = now.getTime();
    const seen = this.#seen.get(key);
    if (seen?.targets !== text) this.#seen.set(key, { targets: text, since: at });
    const since = seen?.targets === text ? seen.since : at;
    return Math.max(0, (since + settleMilliseconds - at) / 1000);
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }
}
