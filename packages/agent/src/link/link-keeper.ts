import type { Duplex } from 'node:stream';
import { isStatusError, type Logger, StatusError } from '@selvedge/api';
import type { Speaker } from '../hub-connection/hub-api.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import type { HubConnection } from '../hub-connection/hub-connection.ts';
import { BackOff } from '../sync/back-off.ts';
import { WakeUp } from '../sync/wake-up.ts';
import type { LinkDoor } from './link-door.ts';
import { effectiveAccess, type LinkLimits } from './link-policy.ts';
import type { LinkService } from './link-service.ts';

/** How the service link stands, for `selvedge-agent status`. */
export type LinkEvent =
  | { readonly kind: 'open' }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly message: string };

export interface LinkKeeperOptions {
  readonly connection: HubConnection;
  readonly speaker: Speaker;
  readonly clock: HubClock;
  readonly logger: Logger;
  readonly limits: () => LinkLimits;
  readonly openDoor: () => Promise<LinkDoor>;
  readonly onEvent: (event: LinkEvent) => void;
  readonly backOff?: BackOff;
  readonly idleSeconds?: number;
  readonly pingSeconds?: number;
}

/**
 * Keeps the service link: opens it when the hub wishes for it, one at a time, and lets go of it when nobody uses it. Beside the
 * conversation with the hub, which never waits for it.
 */
export class LinkKeeper {
  readonly #options: LinkKeeperOptions;
  readonly #backOff: BackOff;
  readonly #wished = new WakeUp();
  #wishedMs = -Infinity;
  #service: LinkService | undefined;
  #isChecking = false;
  #trouble: string | undefined;

  constructor(options: LinkKeeperOptions) {
    this.#options = options;
    this.#backOff = options.backOff ?? new BackOff();
  }

  /** The hub wishes for a link. Told again while one is open, it may not know of it: then the link is tried. */
  wish(): void {
    this.#wishedMs = this.#options.clock.monotonicNow();
    this.#wished.ring();
    void this.#checkOpen();
  }

  /** The site's policy may have changed. */
  checkPolicy(): void {
    if (effectiveAccess(this.#options.limits()) === 'Disabled') {
      this.end('the policy of this site no longer allows it');
    } else this.#service?.checkPolicy();
  }

  /** At once, with all that goes over it; the hub may wish for another. */
  end(reason: string): void {
    this.#wishedMs = -Infinity;
    this.#service?.end(reason);
  }

  /** Until the signal fires. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await this.#wished.wait(signal);
      while (!signal.aborted && this.#isWished()) {
        try {
          const livedMs = await this.#serveOne(signal);
          if (livedMs >= briefMs) this.#backOff.reset();
          else await clock.sleep(this.#backOff.nextMs(), signal);
          break;
        } catch (error) {
          if (signal.aborted) break;
          const askedSeconds = this.#noteFailure(error);
          await clock.sleep(Math.max(this.#backOff.nextMs(), (askedSeconds ?? 0) * 1000), signal);
        }
      }
    }
  }

  #isWished(): boolean {
    const { clock, limits, logger } = this.#options;
    if (clock.monotonicNow() - this.#wishedMs > wishMs) return false;
    if (effectiveAccess(limits()) !== 'Disabled') return true;
    logger.debug('the hub wishes for a service link, which the policy of this site does not allow');
    return false;
  }

  /** From opening to its end: how long that was. Throws when it could not be opened. */
  async #serveOne(signal: AbortSignal): Promise<number> {
    const { clock, logger, onEvent } = this.#options;
    const [{ openLinkSocket }, { LinkService: Service }] = await Promise.all([
      import('./link-socket.ts'),
      import('./link-service.ts'),
    ]);
    const transport = await openLinkSocket({ ...this.#options, signal });
    const service = await this.#startService(Service, transport);
    const stop = () => service.end('the agent stops');
    signal.addEventListener('abort', stop, { once: true });
    try {
      if (signal.aborted) stop();
      this.#service = service;
      this.#trouble = undefined;
      logger.info('the service link is open');
      onEvent({ kind: 'open' });
      // The policy may have changed meanwhile.
      this.checkPolicy();
      const openedMs = clock.monotonicNow();
      const reason = await service.ended;
      logger.info('the service link is closed', { reason });
      return clock.monotonicNow() - openedMs;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#service = undefined;
      onEvent({ kind: 'closed' });
    }
  }

  async #startService(service: typeof LinkService, transport: Duplex): Promise<LinkService> {
    const { openDoor } = this.#options;
    let door: Promise<LinkDoor> | undefined;
    try {
      return await service.serve(transport, {
        ...this.#options,
        door: () => {
          door ??= openDoor().catch((error: unknown) => {
            door = undefined;
            throw error;
          });
          return door;
        },
      });
    } catch (error) {
      transport.destroy();
      throw error;
    }
  }

  async #checkOpen(): Promise<void> {
    const service = this.#service;
    if (service === undefined || this.#isChecking) return;
    this.#isChecking = true;
    try {
      if (!(await service.isAlive(answerMs))) service.end('the hub no longer answers on it');
    } finally {
      this.#isChecking = false;
    }
  }

  #noteFailure(error: unknown): number | undefined {
    const { logger, onEvent } = this.#options;
    const isRefused = isStatusError(error, 'Unauthorized') || isStatusError(error, 'Forbidden');
    if (isRefused) this.#wishedMs = -Infinity;
    const { message } = error as Error;
    // Once at each change is enough.
    logger[this.#trouble === message ? 'debug' : 'warn']('the service link could not be opened', {
      error: message,
    });
    this.#trouble = message;
    onEvent({ kind: 'failed', message });
    return error instanceof StatusError ? error.details.retryAfterSeconds : undefined;
  }
}

/** The hub repeats its wish while somebody waits. */
const wishMs = 30_000;
const answerMs = 5000;
/** A link that ends sooner was none: something on the way cuts it, and opening it again at once would not help. */
const briefMs = 5000;
