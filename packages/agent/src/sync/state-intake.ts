import { KeyedMutex, type Logger, type SyncRequest } from '@selvedge/api';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import { isStorageFull } from '../state/agent-database.ts';
import { mergeState, type OfferedState } from './merge-state.ts';
import type { SiteWork } from './site-work.ts';
import { checkStateDigest, StateRefused, type StateOwner, verifySignedState } from './verify-state.ts';

type Refusal = NonNullable<SyncRequest['refusal']>;

/**
 * Takes in what the hub offers, or refuses it: a refused state changes nothing here, and the refusal is told to the hub with
 * every request until a state is accepted.
 */
export class StateIntake {
  readonly #work: SiteWork;
  readonly #owner: StateOwner;
  readonly #clock: HubClock;
  readonly #logger: Logger;
  readonly #signal: AbortSignal;
  #refusal: Refusal | undefined;
  #wantsFull = false;
  #hasNews = false;
  /** The newest state that a full disk did not take. */
  #unstored: Unstored | undefined;
  readonly #keepFirst: ((change: () => void) => Promise<void>) | undefined;
  /** One state at a time, whoever brings it. */
  readonly #turns = new KeyedMutex();
  #onAccepted: () => void = () => {};
  #onChange: () => void = () => {};

  constructor(options: {
    work: SiteWork;
    owner: StateOwner;
    clock: HubClock;
    logger: Logger;
    signal: AbortSignal;
    /** Keeps elsewhere what the change makes of the state, before it is made: see `StateKeeper.keepFirst`. */
    keepFirst?: ((change: () => void) => Promise<void>) | undefined;
  }) {
    this.#work = options.work;
    this.#owner = options.owner;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#signal = options.signal;
    this.#keepFirst = options.keepFirst;
  }

  get refusal(): Refusal | undefined {
    return this.#refusal;
  }

  /** What came as a difference does not fit what is held. */
  get wantsFull(): boolean {
    return this.#wantsFull;
  }

  /** The hub does not know yet what became of the state that it offered last. */
  get hasNews(): boolean {
    return this.#hasNews;
  }

  onAccepted(listener: () => void): void {
    this.#onAccepted = listener;
  }

  /** Called when `hasNews` became true outside of `take`. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  /** The hub has answered this request, so it knows what it said. */
  told(request: SyncRequest): void {
    if (
      request.refusal?.epoch === this.#refusal?.epoch &&
      request.refusal?.reason === this.#refusal?.reason
    ) {
      this.#hasNews = false;
    }
  }

  /** True when something came of it: the state was accepted, or the whole of it is to be asked for. */
  take(offered: OfferedState, request: SyncRequest): Promise<boolean> {
    return this.#turns.run('', () => this.#take(offered, request));
  }

  /**
   * Takes in a state that a person carried here, proven as one from the network is. Throws `StateRefused`, which the hub is not told, and
   * when it could not be stored; then nothing has changed.
   */
  takeCarried(offered: OfferedState): Promise<void> {
    return this.#turns.run('', async () => {
      const header = await verifySignedState(offered.signed, this.#owner);
      this.#work.held.checkNotOlder(header);
      const state = mergeState(undefined, offered, header);
      checkStateDigest(state, header);
      const { signed } = offered;
      await this.#keepFirst?.(() => this.#work.held.store(signed, header, state));
      this.#work.accept(signed, header, state);
      this.#wantsFull = false;
      this.#unstored = undefined;
      this.#accepted(header.epoch);
      // The hub learns of it when it can be reached.
      this.#hasNews = true;
      this.#onChange();
    });
  }

  async #take(offered: OfferedState, request: SyncRequest): Promise<boolean> {
    const wasFull = request.full === true || offered.full;
    try {
      const header = await verifySignedState(offered.signed, this.#owner);
      this.#work.held.checkNotOlder(header);
      const state = mergeState(this.#work.held.accepted, offered, header);
      checkStateDigest(state, header);
      this.#wantsFull = false;
      const { signed } = offered;
      this.#unstored = {
        preview: () => this.#work.held.store(signed, header, state),
        accept: () => this.#work.accept(signed, header, state),
      };
      return await this.#store(header.epoch);
    } catch (error) {
      if (!(error instanceof StateRefused)) throw error;
      if (error.reason === 'DigestMismatch' && !wasFull) {
        this.#logger.warn('a change of the desired state does not fit; asking for the whole', {
          epoch: error.epoch,
        });
        this.#wantsFull = true;
        return true;
      }
      this.#wantsFull = false;
      this.#refuse(error);
      this.#work.noteRefused(offered, error);
      return false;
    }
  }

  async #store(epoch: number): Promise<boolean> {
    const unstored = this.#unstored;
    if (unstored === undefined) return false;
    try {
      await this.#keepElsewhere(unstored);
      unstored.accept();
    } catch (error) {
      const isKept = !(error instanceof NotKept);
      if (isKept && !isStorageFull(error)) throw error;
      if (this.#refusal?.reason !== 'StorageFull') void this.#storeWhenThereIsSpace(epoch);
      const message = isKept
        ? 'the disk of this site is full; free some space, it goes on by itself'
        : error.message;
      this.#refuse({ reason: 'StorageFull', message, epoch });
      return false;
    }
    if (this.#unstored === unstored) this.#unstored = undefined;
    this.#hasNews = this.#refusal !== undefined;
    this.#accepted(epoch);
    return true;
  }

  #accepted(epoch: number): void {
    this.#refusal = undefined;
    this.#logger.info('desired state accepted', { epoch });
    this.#onAccepted();
  }

  async #keepElsewhere(unstored: Unstored): Promise<void> {
    try {
      await this.#keepFirst?.(unstored.preview);
    } catch (error) {
      if (isStorageFull(error)) throw error;
      throw new NotKept(error as Error);
    }
  }

  async #storeWhenThereIsSpace(epoch: number): Promise<void> {
    while (this.#unstored !== undefined && !this.#signal.aborted) {
      await this.#clock.sleep(storageRetryMs * (0.75 + Math.random() / 2), this.#signal);
      if (this.#signal.aborted || this.#unstored === undefined) return;
      try {
        if (await this.#store(epoch)) this.#onChange();
      } catch (error) {
        // Overtaken by a newer one meanwhile.
        if (!(error instanceof StateRefused)) throw error;
        this.#unstored = undefined;
      }
    }
  }

  #refuse(refusal: Refusal): void {
    const { reason, message, epoch } = refusal;
    const isNew = this.#refusal?.reason !== reason || this.#refusal.epoch !== epoch;
    if (isNew) {
      this.#logger.error('desired state refused; what runs here goes on', { reason, message, epoch });
    }
    this.#refusal = { reason, message, epoch };
    if (reason !== 'StorageFull') this.#unstored = undefined;
    this.#hasNews = false;
  }
}

interface Unstored {
  /** What `accept` does to the database, at least. */
  readonly preview: () => void;
  readonly accept: () => void;
}

/** The agent's state could not be kept outside of this machine, where it has to survive it. */
class NotKept extends Error {
  constructor(cause: Error) {
    super(
      `the state of this agent cannot be kept in the cluster, it goes on by itself when it can: ${cause.message}`,
      {
        cause,
      },
    );
  }
}

const storageRetryMs = 5000;
