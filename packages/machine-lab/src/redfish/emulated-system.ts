import type { BmcQuirkName, Clock } from '@selvedge/api';
import type { EmulatedBoot, EmulatedMachine } from '../emulated-machine.ts';
import { badRequest, RedfishError } from './redfish-error.ts';

export interface BootOverride {
  readonly enabled: 'Disabled' | 'Once' | 'Continuous';
  readonly target: string;
  readonly mode: 'UEFI' | 'Legacy';
  readonly httpBootUri: string | null;
}

export interface EmulatedSystemOptions {
  readonly id: string;
  readonly machine: EmulatedMachine;
  readonly has: (quirk: BmcQuirkName) => boolean;
  readonly clock: Clock;
  /** How long its firmware starts, and how long quirks of timing last. */
  readonly postMs: number;
}

const none: BootOverride = { enabled: 'Disabled', target: 'None', mode: 'UEFI', httpBootUri: null };

/** One machine as its BMC has it: power, the boot override, and when it is not to be spoken to. */
export class EmulatedSystem {
  readonly id: string;
  readonly machine: EmulatedMachine;
  readonly #options: EmulatedSystemOptions;
  override: BootOverride = none;
  /** Taken by the settings resource, valid from the next start. */
  pending: Partial<BootOverride> | undefined;
  /** Counts changes: its ETag. */
  version = 1;
  /** Demanded by old iDRACs, beside the override. */
  oemBoot: string | undefined;
  /** With PowerStateStuck: what was read first. */
  #stuckState: 'On' | 'Off' | undefined;
  #startedAt = 0;
  #changedAt = 0;
  #missingUntil = 0;

  constructor(options: EmulatedSystemOptions) {
    this.id = options.id;
    this.machine = options.machine;
    this.#options = options;
    this.machine.onPower(() => {
      this.version += 1;
      this.#changedAt = this.#now();
    });
  }

  get resetTypes(): readonly string[] {
    if (this.#options.has('FewResetTypes')) return ['On', 'ForceOff'];
    return [
      'On',
      'ForceOff',
      'ForceOn',
      'GracefulShutdown',
      'GracefulRestart',
      'ForceRestart',
      'PowerCycle',
      'PushPowerButton',
      'Nmi',
    ];
  }

  get bootTargets(): readonly string[] {
    const { has } = this.#options;
    const media = has('OemMediaBoot') ? [] : has('UsbCdTarget') ? ['Cd', 'UsbCd'] : ['Cd'];
    return ['None', 'Pxe', ...media, 'Usb', 'Hdd', 'BiosSetup', 'UefiHttp'];
  }

  get powerState(): string | null {
    const isUnsettled =
      this.#options.has('PowerStateUnsettled') && this.#sinceChange() < this.#options.postMs;
    if (isUnsettled) {
      const changing = this.machine.isOn() ? 'PoweringOn' : 'PoweringOff';
      return ['Unknown', null, changing][this.version % 3] ?? null;
    }
    const state = this.machine.isOn() ? 'On' : 'Off';
    return this.#options.has('PowerStateStuck') ? (this.#stuckState ??= state) : state;
  }

  /** While a configuration job is made, its resource is not there. */
  get isMissing(): boolean {
    return this.#now() < this.#missingUntil;
  }

  /** As PATCH of `Boot`. Throws RedfishError. */
  changeBoot(change: Partial<BootOverride>): void {
    const { has } = this.#options;
    this.#refuseDuringPost();
    if (change.target !== undefined && !this.bootTargets.includes(change.target))
      throw badRequest(`${change.target} is not a boot target of this system.`);
    if (has('NoBootMode') && change.mode !== undefined)
      throw badRequest('BootSourceOverrideMode is unknown.', 'Base.1.12.PropertyUnknown');
    if (has('MinimalBootRequest') && change.mode !== undefined)
      throw badRequest('The property cannot be changed.', 'iLO.2.14.UnsupportedOperation');
    this.version += 1;
    if (has('BootOverrideReverts')) {
      this.override = { ...none, mode: 'Legacy' };
      return;
    }
    const isFull = change.enabled !== undefined && change.target !== undefined && change.mode !== undefined;
    if (has('FullBootRequest') && !isFull) {
      this.override = {
        ...none,
        mode: 'Legacy',
        ...(change.target === undefined ? {} : { target: change.target }),
      };
      return;
    }
    const resetMode =
      has('BootModeResetsWithTarget') && change.mode === undefined ? { mode: 'Legacy' as const } : {};
    const modeWaits =
      has('BootModeNeedsReboot') && change.mode !== undefined && change.mode !== this.override.mode;
    if (modeWaits) this.pending = { mode: change.mode };
    this.override = {
      ...this.override,
      ...change,
      ...resetMode,
      ...(modeWaits ? { mode: this.override.mode } : {}),
    };
    if (has('NotFoundWhileJob') && change.mode !== undefined) this.#missingUntil = this.#now() + 3_000;
  }

  /** As POST of `ComputerSystem.Reset`. Throws RedfishError. */
  async reset(type: string): Promise<void> {
    const { has, postMs } = this.#options;
    if (!this.resetTypes.includes(type)) throw badRequest(`${type} is not a reset type of this system.`);
    const isOn = this.machine.isOn();
    const isStart = type === 'On' || type === 'ForceOn';
    if (isStart && has('ConflictAfterPowerOff') && !isOn && this.#sinceChange() < postMs)
      throw new RedfishError(
        409,
        'Base.1.12.ActionParameterValueConflict',
        'The system is still turning off.',
      );
    if (has('InvalidAfterPowerChange') && this.#sinceChange() < postMs)
      throw badRequest('Invalid for the present system state.', 'iLO.2.14.InvalidOperationForSystemState');
    switch (type) {
      case 'On':
      case 'ForceOn':
        if (!isOn) await this.#start();
        else if (has('PowerLoop')) await this.#restart();
        return;
      case 'ForceOff':
        await this.machine.turnOff({ isGraceful: false });
        return;
      case 'GracefulShutdown':
      case 'PushPowerButton':
        if (!isOn) await this.#start();
        else await this.machine.turnOff({ isGraceful: true });
        return;
      case 'GracefulRestart':
      case 'ForceRestart':
      case 'PowerCycle':
        if (!isOn && has('PowerStateStuck')) return type === 'PowerCycle' ? await this.#start() : undefined;
        if (!isOn) throw new RedfishError(409, 'Base.1.12.ResourceInUse', 'The system is off.');
        await this.#restart();
        return;
      default:
        return;
    }
  }

  async #start(): Promise<void> {
    await this.machine.turnOn(this.#takeBoot());
  }

  async #restart(): Promise<void> {
    await this.machine.reset(this.#takeBoot());
    this.version += 1;
    this.#changedAt = this.#now();
  }

  /** What this start boots; an override for one boot is used up by it. */
  #takeBoot(): EmulatedBoot {
    const { has } = this.#options;
    this.override = { ...this.override, ...this.pending };
    this.pending = undefined;
    this.#startedAt = this.#now();
    const { enabled, target } = this.override;
    if (enabled === 'Once') this.override = { ...this.override, enabled: 'Disabled', target: 'None' };
    if (enabled === 'Disabled' || has('OverrideIgnored')) return 'Default';
    if (enabled === 'Once' && has('OnceIgnored')) return 'Default';
    return bootOfTarget[target] ?? 'Default';
  }

  #refuseDuringPost(): void {
    const isStarting = this.machine.isOn() && this.#now() - this.#startedAt < this.#options.postMs;
    if (!this.#options.has('BusyDuringPost') || !isStarting) return;
    throw badRequest('The system is in POST.', 'iLO.2.14.UnableToModifyDuringSystemPOST');
  }

  #sinceChange(): number {
    return this.#now() - this.#changedAt;
  }

  #now(): number {
    return this.#options.clock.now().getTime();
  }
}

const bootOfTarget: Readonly<Record<string, EmulatedBoot>> = {
  Pxe: 'Network',
  UefiHttp: 'HTTP',
  Hdd: 'Disk',
};
