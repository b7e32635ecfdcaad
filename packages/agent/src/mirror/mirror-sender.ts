import { isStatusError, type Logger, StatusError } from '@selvedge/api';
import type { HubApi } from '../hub-connection/hub-api.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { BackOff } from '../sync/back-off.ts';
import { WakeUp } from '../sync/wake-up.ts';
import type { MirrorNews } from './mirror-news.ts';

export interface MirrorSenderOptions {
  readonly api: Pick<HubApi, 'put'>;
  readonly news: MirrorNews;
  readonly clock: HubClock;
  readonly logger: Logger;
  /** Something is to be told to the hub anew. */
  readonly onDoubt: () => void;
  readonly backOff?: BackOff;
}

/** Brings the hub what it asked for of the mirrors: always what is the newest by then, again and again until the hub has it or does not want it. */
export class MirrorSender {
  readonly #options: MirrorSenderOptions;
  readonly #backOff: BackOff;
  readonly #wanted = new Set<string>();
  readonly #asked = new WakeUp();

  constructor(options: MirrorSenderOptions) {
    this.#options = options;
    this.#backOff = options.backOff ?? new BackOff();
  }

  /** The hub wants these. */
  send(uids: readonly string[]): void {
    for (const uid of uids) this.#wanted.add(uid);
    if (uids.length === 0) return;
    this.#backOff.reset();
    this.#asked.ring();
  }

  /** Until the signal fires. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const over = new AbortController();
      const either = AbortSignal.any([signal, over.signal]);
      const waits = [this.#asked.wait(either)];
      if (this.#wanted.size > 0) waits.push(this.#options.clock.sleep(this.#backOff.nextMs(), either));
      await Promise.race(waits);
      over.abort();
      for (const uid of this.#wanted) {
        if (signal.aborted) return;
        await this.#bring(uid, signal);
      }
    }
  }

  async #bring(uid: string, signal: AbortSignal): Promise<void> {
    const { api, news, logger, onDoubt } = this.#options;
    const bytes = news.findContent(uid);
    // It cannot be read any more: the hub hears of that with the next report, and asks again when there is something.
    if (bytes === undefined) {
      this.#wanted.delete(uid);
      return;
    }
    try {
      await api.put(`/mirror/v1/${encodeURIComponent(uid)}`, bytes, {
        answerTimeoutMs: 60_000,
        maxBytes: 65_536,
        signal,
      });
      this.#wanted.delete(uid);
      logger.info('the hub has what this site gives to others', { application: uid, bytes: bytes.length });
    } catch (error) {
      if (signal.aborted) return;
      const message = (error as Error).message;
      if (!isRefusal(error)) {
        logger.debug('what this site gives to others could not be sent yet', {
          application: uid,
          error: message,
        });
        return;
      }
      this.#wanted.delete(uid);
      logger.warn('the hub does not take what this site gives to others', {
        application: uid,
        error: message,
      });
      // It has changed since it was told of.
      if (!isStatusError(error, 'Conflict')) return;
      news.doubt(uid);
      onDoubt();
    }
  }
}

/** The hub has said no, and will again. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof StatusError)) return false;
  return ['BadRequest', 'Invalid', 'NotFound', 'Conflict', 'RequestEntityTooLarge'].includes(error.reason);
}
