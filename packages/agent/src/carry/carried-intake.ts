import type { Logger, SealedName } from '@selvedge/api';
import { SealedValueRefused } from '../credentials/open-sealed-value.ts';
import type { HubClock } from '../hub-connection/hub-clock.ts';
import type { AgentDatabase } from '../state/agent-database.ts';
import { type CarriedState, findCarried, forgetCarried } from '../state/carried-state.ts';
import type { SiteWork } from '../sync/site-work.ts';
import type { StateIntake } from '../sync/state-intake.ts';
import { StateRefused } from '../sync/verify-state.ts';
import { WakeUp } from '../sync/wake-up.ts';

export interface CarriedIntakeOptions {
  readonly database: AgentDatabase;
  readonly intake: StateIntake;
  readonly work: SiteWork;
  /** Verifies a value and keeps it. */
  readonly keepSealed?: (name: SealedName, signed: string) => Promise<void>;
  readonly clock: HubClock;
  readonly logger: Logger;
}

/** Takes in what `selvedge-agent import` has put into the database, by the same door as what comes from the hub. */
export class CarriedIntake {
  readonly #o: CarriedIntakeOptions;
  readonly #rung = new WakeUp();

  constructor(options: CarriedIntakeOptions) {
    this.#o = options;
  }

  /** A command beside the agent wrote something. */
  wake(): void {
    this.#rung.ring();
  }

  /** Until the signal fires; begins with what came while the agent was stopped. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const isDone = await this.#takeIn();
      if (signal.aborted) return;
      const rest = new AbortController();
      const either = AbortSignal.any([signal, rest.signal]);
      const waits = [this.#rung.wait(either)];
      if (!isDone) waits.push(this.#o.clock.sleep(retryMs * (0.75 + Math.random() / 2), either));
      await Promise.race(waits);
      rest.abort();
    }
  }

  /** False: to be tried again. */
  async #takeIn(): Promise<boolean> {
    const { database, intake, logger } = this.#o;
    const carried = findCarried(database);
    if (carried?.offered === undefined) return true;
    const { epoch, offered, sealed } = carried;
    try {
      for (const { signed, ...name } of sealed) await this.#keep(name, signed);
      await intake.takeCarried(offered);
      logger.info('a state that was carried here in a file is followed', { epoch });
    } catch (error) {
      if (!(error instanceof StateRefused)) {
        logger.error('a state that was carried here cannot be stored; trying again', { epoch, error });
        return false;
      }
      logger.error('a state that was carried here is refused; what runs here goes on', {
        epoch,
        reason: error.reason,
        message: error.message,
      });
      // What came with it is not to stand before what is in force.
      this.#o.work.renewListed();
    }
    return this.#forget(carried);
  }

  /** One that does not open keeps back what needs it, and nothing else: the hub is asked for it when it is there. */
  async #keep(name: SealedName, signed: string): Promise<void> {
    try {
      await this.#o.keepSealed?.(name, signed);
    } catch (error) {
      if (!(error instanceof SealedValueRefused)) throw error;
      this.#o.logger.warn('a value that was carried here is not taken', {
        id: name.id,
        error: error.message,
      });
    }
  }

  /** False: it could not be put aside, or another one has come meanwhile. */
  #forget(carried: CarriedState): boolean {
    const { database, work, logger } = this.#o;
    const { contents, epoch } = carried;
    try {
      if (!forgetCarried(database, carried)) this.wake();
    } catch (error) {
      logger.warn('a carried state could not be put aside; trying again', { epoch, error });
      return false;
    }
    for (const digest of contents) work.contentArrived(digest);
    return true;
  }
}

const retryMs = 5000;
