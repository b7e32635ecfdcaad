/** A box as its baseboard controller sees it: QEMU behind it, or a model. */
export interface EmulatedMachine {
  readonly identity: {
    readonly uuid: string;
    readonly serial: string;
    readonly manufacturer: string;
    readonly model: string;
    readonly macAddresses: readonly string[];
  };
  isOn(): boolean;
  /** Starts it; `boot` for this start only. */
  turnOn(boot: EmulatedBoot): Promise<void>;
  /** Pulls the plug, or asks the system to end (it may not). */
  turnOff(options: { isGraceful: boolean }): Promise<void>;
  reset(boot: EmulatedBoot): Promise<void>;
  /** Called when it went on or off, by whomever. */
  onPower(listener: (isOn: boolean) => void): void;
}

export type EmulatedBoot = 'Default' | 'Network' | 'HTTP' | 'Disk';
