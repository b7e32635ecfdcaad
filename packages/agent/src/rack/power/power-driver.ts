import type { BmcHosts } from './bmc-hosts.ts';
import {
  type BmcOrder,
  type BootMode,
  type Clock,
  type Logger,
  type MachineIdentity,
  type PowerState,
  printable,
} from '@selvedge/api';

/** What the machine is to boot next. `Once`: this time only. */
export interface BootSetting {
  readonly target: 'Network' | 'HTTP' | 'Disk';
  readonly mode?: BootMode;
  readonly isOnce: boolean;
}

/** `ForcedCycle`: off and on again whatever the BMC reads, for one whose power state is not to be believed. Where it cannot be turned off: `Cycle`. */
export type PowerAction = 'On' | 'Off' | 'GracefulOff' | 'Cycle' | 'ForcedCycle';

/** Between off and on, so that the machine takes notice. Milliseconds. */
export const offPauseMs = 5_000;
/** How long a machine may take to go off when it is not asked to end its system. Milliseconds. */
export const offDeadlineMs = 60_000;

/** What a kind of BMC can do at all: what it cannot, a person or the network has to. */
export interface PowerAbilities {
  readonly readsState: boolean;
  readonly turnsOn: boolean;
  readonly turnsOff: boolean;
  readonly setsBoot: boolean;
}

/**
 * Switches one machine. Calls of one BMC never overlap and keep a distance (BMCs freeze under bursts): callers need not care. Every write is read back; what
 * came of it at the machine is for the caller to see.
 */
export interface PowerDriver {
  readonly abilities: PowerAbilities;
  /** Throws PowerError. */
  state(signal: AbortSignal): Promise<PowerState>;
  /** Resolves when the BMC took it; whether it came to pass is told by `state`. Turning on what is on is no error. */
  turn(action: PowerAction, signal: AbortSignal): Promise<void>;
  /**
   * @returns how it reads afterwards, by whichever way of the fall-backs worked. A BMC that says yes and reads otherwise: PowerError NotHonoured once all ways
   * were tried.
   */
  setBoot(setting: BootSetting, signal: AbortSignal): Promise<BootSetting>;
  /** What the BMC says of the machine, to find out that it is another one. */
  identify(signal: AbortSignal): Promise<BmcIdentity>;
  /** Shows the machine the image at this address as a disc, and has its next start boot it. Absent: this kind of BMC cannot. */
  bootMedia?(image: URL, signal: AbortSignal): Promise<void>;
  /** Takes away what `bootMedia` inserted; nothing inserted is no error. */
  ejectMedia?(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface BmcIdentity {
  readonly uuid?: string;
  readonly serial?: string;
  readonly manufacturer?: string;
  readonly model?: string;
  readonly firmware?: string;
  /** Quirks at work, by vendor, by order, or found out. */
  readonly quirks: readonly string[];
}

export interface PowerLogin {
  readonly username?: string;
  readonly password?: string;
  /** IPMI. */
  readonly kg?: string;
  /** Webhook: bearer token. */
  readonly token?: string;
}

export interface PowerOptions {
  readonly bmc: BmcOrder;
  readonly login: PowerLogin;
  /** Of the machine: a BMC that says that it belongs to another one switches nothing. */
  readonly identity?: MachineIdentity;
  /** MAC addresses of the machine, for WakeOnLAN; broadcast addresses of the rack's networks. */
  readonly macAddresses: readonly string[];
  readonly broadcasts: readonly string[];
  /** Which hosts may be called; absent: any. */
  readonly hosts?: BmcHosts;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Messages hold words of BMCs: what a terminal would obey is taken out of them. */
const mostMessage = 1_000;

export class PowerError extends Error {
  override readonly name = 'PowerError';
  readonly reason: 'Unavailable' | 'Unauthorized' | 'NotHonoured' | 'Unsupported' | 'Busy' | 'Invalid';
  /** Asking again later may help. */
  readonly isPassing: boolean;

  constructor(
    reason: PowerError['reason'],
    message: string,
    options: { isPassing: boolean; cause?: unknown },
  ) {
    super(printable(message).slice(0, mostMessage), { cause: options.cause });
    this.reason = reason;
    this.isPassing = options.isPassing;
  }
}

/** The BMC does not take this login at all; asking again with it may lock the account. Not: the user may not do this one thing. */
export class LoginRefused extends PowerError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super('Unauthorized', message, { ...options, isPassing: false });
  }
}
