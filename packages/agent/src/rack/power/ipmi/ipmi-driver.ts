import type { PowerState } from '@selvedge/api';
import { loginKey } from '../login-key.ts';
import { unsupported } from '../manual-driver.ts';
import {
  type BmcIdentity,
  type BootSetting,
  LoginRefused,
  offDeadlineMs,
  offPauseMs,
  type PowerAbilities,
  type PowerAction,
  type PowerDriver,
  PowerError,
  type PowerOptions,
} from '../power-driver.ts';
import type { PowerQueue, PowerQueues } from '../power-queues.ts';
import { QuirkSet } from '../quirk-set.ts';
import { type BootFlags, bootdevCommand, isHonoured, parseBootFlags, rawBootCommand } from './boot-flags.ts';
import {
  cipherSuitesOf,
  type IpmitoolFailure,
  type IpmiTarget,
  parseIpmiAddress,
  runIpmitool,
} from './run-ipmitool.ts';

/** RMCP+ takes no longer passwords and keys. */
const mostPasswordBytes = 20;

/** Switches a machine by IPMI 2.0 over LAN (RMCP+), with the program ipmitool. */
export class IpmiDriver implements PowerDriver {
  readonly abilities: PowerAbilities = { readsState: true, turnsOn: true, turnsOff: true, setsBoot: true };
  readonly #options: PowerOptions;
  readonly #target: IpmiTarget;
  readonly #program: { readonly program?: string };
  readonly #queue: PowerQueue;
  readonly #quirks: QuirkSet;
  /** What the BMC takes, best first; one once it is known. */
  #cipherSuites: readonly number[];
  #knowsVendor = false;

  /** @param program default `ipmitool`, found on the usual path. Throws PowerError Invalid. */
  constructor(options: PowerOptions, queues: PowerQueues, program?: string) {
    const { bmc, login, logger } = options;
    this.#options = options;
    this.#program = program === undefined ? {} : { program };
    this.#target = parseIpmiAddress(bmc);
    for (const [key, value] of Object.entries({ password: login.password, kg: login.kg })) {
      if (Buffer.byteLength(value ?? '') <= mostPasswordBytes) continue;
      throw new PowerError(
        'Invalid',
        `IPMI takes at most ${mostPasswordBytes} bytes: shorten ${key} in the Secret of spec.bmc.secretRef`,
        {
          isPassing: false,
        },
      );
    }
    this.#queue = queues.of(`ipmi://${this.#target.host}:${this.#target.port}`);
    this.#quirks = new QuirkSet(bmc.quirks ?? [], logger);
    const suites = cipherSuitesOf(bmc);
    this.#cipherSuites = this.#quirks.has('NoCipherSuite17') ? suites.slice(-1) : suites;
  }

  state(signal: AbortSignal): Promise<PowerState> {
    return this.#visit(signal, () => this.#readState(signal));
  }

  turn(action: PowerAction, signal: AbortSignal): Promise<void> {
    return this.#visit(signal, async () => {
      const isForcedOff = action === 'ForcedCycle' && (await this.#takesOff(signal));
      const state = isForcedOff ? 'Off' : await this.#readState(signal);
      const command = powerCommand(action, state);
      if (command === 'cycle') await this.#restart(signal);
      else if (command) await this.#run(['chassis', 'power', command], signal);
    });
  }

  setBoot(setting: BootSetting, signal: AbortSignal): Promise<BootSetting> {
    if (setting.target === 'HTTP')
      return Promise.reject(unsupported('IPMI cannot ask for UEFI HTTP boot: use Network, or Redfish.'));
    return this.#visit(signal, async () => {
      await this.#learnVendor(signal);
      const plain = { command: bootdevCommand(setting), isRaw: false };
      const raw = { command: rawBootCommand(setting), isRaw: true };
      const ways = this.#quirks.has('EfiBootFlagIgnored') ? [raw] : [plain, raw];
      let last: BootFlags | undefined;
      let refused: PowerError | undefined;
      for (const { command, isRaw } of ways) {
        try {
          await this.#run(command, signal);
        } catch (error) {
          if (!(error instanceof PowerError) || error.reason !== 'Invalid') throw error;
          refused = error;
          continue;
        }
        last = parseBootFlags(await this.#run(['chassis', 'bootparam', 'get', '5'], signal));
        if (!last || !isHonoured(last, setting)) continue;
        if (isRaw && setting.mode === 'UEFI' && last.isValid) this.#quirks.found('EfiBootFlagIgnored');
        return {
          target: setting.target,
          isOnce: last.isValid ? last.isOnce : setting.isOnce,
          ...(last.isValid ? { mode: last.mode } : {}),
        };
      }
      if (!last && refused) throw refused;
      const reads = last ? `${last.device} ${last.mode} ${last.isOnce ? 'once' : 'always'}` : 'nothing';
      throw new PowerError('NotHonoured', `The BMC says yes to the boot flags and reads ${reads}`, {
        isPassing: true,
      });
    });
  }

  identify(signal: AbortSignal): Promise<BmcIdentity> {
    return this.#visit(signal, async () => {
      const controller = fieldsOf(await this.#run(['mc', 'info'], signal));
      // Not every BMC has an inventory of field-replaceable units.
      const unit = fieldsOf(await this.#tryRun(['fru', 'print', '0'], signal));
      const manufacturer = unit.get('Product Manufacturer') ?? controller.get('Manufacturer Name');
      if (manufacturer !== undefined) this.#quirks.learnVendor(manufacturer);
      const found = {
        serial: unit.get('Product Serial') ?? unit.get('Chassis Serial'),
        manufacturer,
        model: unit.get('Product Name'),
        firmware: controller.get('Firmware Revision'),
      };
      const known = Object.entries(found).filter(([, value]) => value !== undefined);
      return { ...Object.fromEntries(known), quirks: this.#quirks.names };
    });
  }

  async close(): Promise<void> {}

  #visit<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#queue.visit({ login: loginKey(this.#options.login), signal }, work);
  }

  async #learnVendor(signal: AbortSignal): Promise<void> {
    if (this.#knowsVendor) return;
    const vendor = fieldsOf(await this.#tryRun(['mc', 'info'], signal)).get('Manufacturer Name');
    if (vendor !== undefined) this.#quirks.learnVendor(vendor);
    this.#knowsVendor = true;
  }

  async #readState(signal: AbortSignal): Promise<PowerState> {
    const output = await this.#run(['chassis', 'power', 'status'], signal);
    const state = /Chassis Power is (on|off)/i.exec(output)?.[1]?.toLowerCase();
    return state === 'on' ? 'On' : state === 'off' ? 'Off' : 'Unknown';
  }

  /** Not every BMC can turn off and on again in one. */
  async #restart(signal: AbortSignal): Promise<void> {
    try {
      await this.#run(['chassis', 'power', 'cycle'], signal);
    } catch (error) {
      if (!(error instanceof PowerError) || error.reason !== 'Invalid') throw error;
      await this.#run(['chassis', 'power', 'reset'], signal);
    }
  }

  /** Also where it reads that it is off. @returns once it had its time to go off; false: it was refused. */
  async #takesOff(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#run(['chassis', 'power', 'off'], signal);
    } catch (error) {
      if (error instanceof PowerError && ['Invalid', 'Busy'].includes(error.reason)) return false;
      throw error;
    }
    // One that never reads so may be off all the same.
    for (let waited = 0; waited < offDeadlineMs; waited += offPauseMs) {
      await this.#options.clock.sleep(offPauseMs, signal);
      if ((await this.#readState(signal)) === 'Off') break;
    }
    return true;
  }

  /** What it printed; nothing when the BMC cannot do it. */
  async #tryRun(command: readonly string[], signal: AbortSignal): Promise<string> {
    try {
      return await this.#run(command, signal);
    } catch (error) {
      if (error instanceof PowerError && error.reason === 'Invalid') return '';
      throw error;
    }
  }

  async #run(command: readonly string[], signal: AbortSignal): Promise<string> {
    const { login, hosts } = this.#options;
    // ipmitool is given an address: a name could lead it elsewhere than was looked at.
    const host = (await hosts?.resolve(this.#target.host)) ?? this.#target.host;
    const target = { host, port: this.#target.port };
    let failure: IpmitoolFailure | undefined;
    for (const cipherSuite of this.#cipherSuites) {
      const { output, error } = await this.#queue.call(signal, () =>
        runIpmitool({ target, login, cipherSuite, command, signal, ...this.#program }),
      );
      failure = error;
      if (failure?.kind === 'CipherSuite') continue;
      // It understood the suite, or nobody is there to say.
      if (failure?.kind !== 'Silent' && this.#cipherSuites.length > 1) {
        if (cipherSuite === 3) this.#quirks.found('NoCipherSuite17');
        this.#cipherSuites = [cipherSuite];
      }
      if (!failure) return output;
      break;
    }
    throw powerErrorOf(failure as IpmitoolFailure, command);
  }
}

function powerCommand(action: PowerAction, state: PowerState): string | undefined {
  switch (action) {
    case 'On':
      return state === 'On' ? undefined : 'on';
    case 'Off':
      return state === 'Off' ? undefined : 'off';
    case 'GracefulOff':
      return state === 'Off' ? undefined : 'soft';
    case 'Cycle':
    case 'ForcedCycle':
      return state === 'Off' ? 'on' : 'cycle';
  }
}

function powerErrorOf({ kind, message }: IpmitoolFailure, command: readonly string[]): PowerError {
  switch (kind) {
    case 'Silent':
      return new PowerError('Unavailable', message, { isPassing: true });
    case 'Login':
      return new LoginRefused(message);
    case 'Forbidden':
      return new PowerError('Unauthorized', message, { isPassing: false });
    case 'CipherSuite':
      return new PowerError('Unavailable', message, { isPassing: false });
    case 'Refused': {
      const isBusy = /node busy|not supported in present state|timeout/i.test(message);
      const what = `The BMC refused ipmitool ${command.join(' ')}: ${message}`;
      return new PowerError(isBusy ? 'Busy' : 'Invalid', what, { isPassing: isBusy });
    }
  }
}

/** `Name : value` lines; empty values are left out. */
function fieldsOf(output: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of output.split('\n')) {
    const [, name, value] = /^\s*([^:]+?)\s*:\s*(.+?)\s*$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined && !fields.has(name)) fields.set(name, value);
  }
  return fields;
}
