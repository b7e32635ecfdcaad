import {
  type Logger,
  parseSealedId,
  type RegistryCredentialValue,
  type SealedName,
  type SealedValue,
} from '@selvedge/api';
import type { SealedStore } from '../credentials/sealed-store.ts';
import { renewalTime } from '../credentials/site-logins.ts';
import type { HubApi } from '../hub-connection/hub-api.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { BackOff } from './back-off.ts';
import { WakeUp } from './wake-up.ts';

export interface SealedFetcherOptions {
  readonly api: HubApi;
  readonly store: SealedStore;
  /** What the accepted state lists. */
  readonly listed: () => readonly SealedName[];
  /** The hub does not give a value now; undefined: it does again. */
  readonly onTrouble: (id: string, message: string | undefined) => void;
  readonly clock: HubClock;
  readonly logger: Logger;
  readonly backOff?: BackOff;
}

const longestAnswerBytes = 4 * 1024 * 1024;
const answerTimeoutMs = 30_000;
const longestSleepMs = 3_600_000;

/**
 * Fetches the values that the accepted state lists and that are not here, and those again that expire. Level-based: `wake` when the state
 * changed. Values are small, so windows do not hold them back.
 */
export class SealedFetcher {
  readonly #o: SealedFetcherOptions;
  readonly #backOff: BackOff;
  readonly #changed = new WakeUp();
  readonly #fetching = new Map<string, Promise<void>>();
  /** Names that failed in the last round: told once. */
  #failed = new Set<string>();

  constructor(options: SealedFetcherOptions) {
    this.#o = options;
    this.#backOff = options.backOff ?? new BackOff({ longestMs: 300_000 });
  }

  /** The accepted state changed, or the hub is back. */
  wake(): void {
    this.#backOff.reset();
    this.#changed.ring();
  }

  /** Asks for one anew; those who ask for the same share the request. */
  async refresh(name: SealedName, signal: AbortSignal): Promise<void> {
    const key = `${name.id} ${name.version}`;
    const running = this.#fetching.get(key);
    if (running !== undefined) return running;
    const fetching = this.#fetch(name, signal).finally(() => this.#fetching.delete(key));
    this.#fetching.set(key, fetching);
    return fetching;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isComplete = await this.#fetchDue(signal);
      if (signal.aborted) return;
      if (isComplete) this.#backOff.reset();
      const waitMs = isComplete ? this.#untilNextMs() : this.#backOff.nextMs();
      const rest = new AbortController();
      const either = AbortSignal.any([signal, rest.signal]);
      await Promise.race([this.#changed.wait(either), this.#o.clock.sleep(waitMs, either)]);
      rest.abort();
    }
  }

  /** Whether all of it is here now. */
  async #fetchDue(signal: AbortSignal): Promise<boolean> {
    const failed = new Set<string>();
    for (const name of this.#o.listed()) {
      if (signal.aborted) return false;
      if (!this.#isDue(name)) continue;
      try {
        await this.refresh(name, signal);
        this.#o.onTrouble(name.id, undefined);
      } catch (error) {
        if (signal.aborted) return false;
        failed.add(name.id);
        const { message } = error as Error;
        this.#o.onTrouble(name.id, message);
        const level = this.#failed.has(name.id) ? 'debug' : 'warn';
        this.#o.logger[level]('a sealed value could not be fetched', { id: name.id, error: message });
      }
    }
    this.#failed = failed;
    return failed.size === 0;
  }

  async #fetch(name: SealedName, signal: AbortSignal): Promise<void> {
    const { api, store, clock } = this.#o;
    const answer = await api.get<SealedValue>(`/content/v1/sealed/${encodeURIComponent(name.id)}`, {
      answerTimeoutMs,
      maxBytes: longestAnswerBytes,
      signal,
    });
    await store.keep(name, String(answer.signed), clock.now());
  }

  #isDue(name: SealedName): boolean {
    const kept = this.#o.store.find(name);
    if (kept === undefined) return true;
    const at = this.#renewalOf(name);
    return at !== undefined && at <= this.#o.clock.now().getTime();
  }

  #renewalOf(name: SealedName): number | undefined {
    if (parseSealedId(name.id)?.kind !== 'RegistryCredential') return undefined;
    const kept = this.#o.store.find(name);
    return kept && renewalTime(kept.value as RegistryCredentialValue, kept.fetchedAt)?.getTime();
  }

  #untilNextMs(): number {
    const now = this.#o.clock.now().getTime();
    const times = this.#o.listed().flatMap((name) => this.#renewalOf(name) ?? []);
    // Sites that were given the same token do not come for the next in one moment.
    const waitMs = Math.max(1_000, Math.min(...times.map((time) => time - now), longestSleepMs));
    return waitMs * (1 + Math.random() / 20);
  }
}
