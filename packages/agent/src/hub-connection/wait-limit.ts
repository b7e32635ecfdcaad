/**
 * How long a poll may wait. Something between agent and hub (NAT, proxy, load balancer) may cut silent connections;
 * that is learnt when a poll breaks and the very next request goes well, and slowly tried again.
 */
export class WaitLimit {
  readonly #longestSeconds: number;
  #seconds: number;
  #suspectSeconds: number | undefined;
  #fullWaits = 0;

  constructor(longestSeconds = 55) {
    this.#longestSeconds = longestSeconds;
    this.#seconds = longestSeconds;
  }

  get seconds(): number {
    return this.#seconds;
  }

  /** A poll broke after it had waited; whether the link is lost shows with the next request. */
  broke(afterSeconds: number): void {
    this.#suspectSeconds =
      this.#suspectSeconds === undefined && afterSeconds >= shortest ? afterSeconds : undefined;
  }

  /** Nothing gets through: the link is lost, the break said nothing about waits. */
  lost(): void {
    this.#suspectSeconds = undefined;
  }

  /** An answer came, after so long a wait. */
  answered(afterSeconds: number): void {
    if (this.#suspectSeconds !== undefined) {
      this.#seconds = Math.max(shortest, Math.min(this.#seconds, Math.floor(this.#suspectSeconds * 0.75)));
      this.#suspectSeconds = undefined;
      this.#fullWaits = 0;
      return;
    }
    if (afterSeconds < this.#seconds * 0.9) return;
    this.#fullWaits += 1;
    if (this.#fullWaits < waitsBeforeLonger || this.#seconds >= this.#longestSeconds) return;
    this.#seconds = Math.min(this.#longestSeconds, Math.ceil(this.#seconds * 1.25));
    this.#fullWaits = 0;
  }
}

const shortest = 4;
const waitsBeforeLonger = 20;
