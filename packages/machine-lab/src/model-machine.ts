import type { EmulatedBoot, EmulatedMachine } from './emulated-machine.ts';

/** A box with nothing inside: remembers what it was told. For tests of what switches machines. */
export class ModelMachine implements EmulatedMachine {
  readonly identity: EmulatedMachine['identity'];
  /** What each start was told to boot, oldest first. */
  readonly boots: EmulatedBoot[] = [];
  /** false: its system hears the power button and does nothing. */
  endsWhenAsked = true;
  #isOn = false;
  readonly #listeners: ((isOn: boolean) => void)[] = [];

  constructor(identity: Partial<EmulatedMachine['identity']> = {}) {
    this.identity = {
      uuid: '4c4c4544-0035-4d10-8054-b4c04f4b4e31',
      serial: 'MODEL0001',
      manufacturer: 'Contoso',
      model: 'Edge 1',
      macAddresses: ['52:54:00:00:00:01'],
      ...identity,
    };
  }

  isOn(): boolean {
    return this.#isOn;
  }

  async turnOn(boot: EmulatedBoot): Promise<void> {
    if (this.#isOn) return;
    this.boots.push(boot);
    this.#switch(true);
  }

  async turnOff({ isGraceful }: { isGraceful: boolean }): Promise<void> {
    if (!this.#isOn || (isGraceful && !this.endsWhenAsked)) return;
    this.#switch(false);
  }

  async reset(boot: EmulatedBoot): Promise<void> {
    if (this.#isOn) this.boots.push(boot);
  }

  onPower(listener: (isOn: boolean) => void): void {
    this.#listeners.push(listener);
  }

  #switch(isOn: boolean): void {
    this.#isOn = isOn;
    for (const listener of this.#listeners) listener(isOn);
  }
}
