import { type Clock, StatusError } from '@selvedge/api';

interface Sender {
  /** Requests that may come at once. */
  left: number;
  lastSeen: number;
  open: number;
}

const burst = 60;
const refillPerSecond = 5;
const maxOpenPerSender = 8;
const maxOpen = 32;
const maxSenders = 10_000;

/** Bounds what senders that nobody knows can make the hub do, by their addresses. */
export class SenderAllowance {
  readonly #clock: Clock;
  readonly #senders = new Map<string, Sender>();
  #open = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Throws TooManyRequests. Leave in the end. */
  enter(address: string): { leave(): void } {
    const now = this.#clock.now().getTime();
    const sender = this.#senders.get(address) ?? { left: burst, lastSeen: now, open: 0 };
    sender.left = Math.min(
      burst,
      sender.left + (Math.max(0, now - sender.lastSeen) / 1000) * refillPerSecond,
    );
    sender.lastSeen = now;
    // Behind all others: who has not come for longest stands first.
    this.#senders.delete(address);
    this.#senders.set(address, sender);
    this.#forgetOldest();
    if (sender.left < 1 || sender.open >= maxOpenPerSender || this.#open >= maxOpen) {
      throw new StatusError(
        'TooManyRequests',
        'too many webhooks at once: the source is looked at by itself, too',
        {
          details: { retryAfterSeconds: 10 },
        },
      );
    }
    sender.left -= 1;
    sender.open += 1;
    this.#open += 1;
    return {
      leave: () => {
        sender.open -= 1;
        this.#open -= 1;
      },
    };
  }

  #forgetOldest(): void {
    if (this.#senders.size <= maxSenders) return;
    const [oldest] = this.#senders.keys();
    if (oldest !== undefined) this.#senders.delete(oldest);
  }
}
