import type { PowerState } from '@selvedge/api';
import {
  type BootSetting,
  type PowerAbilities,
  type PowerAction,
  type PowerDriver,
  PowerError,
  type PowerOptions,
} from '../power/power-driver.ts';

/** BMCs in memory: what a driver was asked for, and what it says. */
export class TestPower {
  state: PowerState = 'Off';
  abilities: PowerAbilities = { readsState: true, turnsOn: true, turnsOff: true, setsBoot: true };
  /** Its state reads the same whatever comes of an order, and only off and on again has an effect. */
  isStuck = false;
  readonly calls: string[] = [];
  /** Thrown by the next calls. */
  error: PowerError | undefined;
  /** Something started. */
  onStart: () => void = () => {};
  readonly logins: PowerOptions['login'][] = [];

  open = (options: PowerOptions): PowerDriver => {
    this.logins.push(options.login);
    const call = (text: string) => {
      this.calls.push(text);
      if (this.error !== undefined) throw this.error;
    };
    return {
      abilities: this.abilities,
      state: () => Promise.resolve().then(() => (this.error ? Promise.reject(this.error) : this.state)),
      turn: (action: PowerAction) =>
        Promise.resolve().then(() => {
          call(action);
          if (this.isStuck && action !== 'ForcedCycle') return;
          if (this.isStuck) return this.onStart();
          this.state = action === 'Off' || action === 'GracefulOff' ? 'Off' : 'On';
          if (this.state === 'On') this.onStart();
        }),
      setBoot: (setting: BootSetting) =>
        Promise.resolve().then(() => {
          call(`SetBoot ${setting.target}`);
          return setting;
        }),
      identify: () => Promise.resolve({ quirks: [] }),
      close: () => Promise.resolve(),
    };
  };
}

export const unavailable = (): PowerError =>
  new PowerError('Unavailable', 'the BMC does not answer', { isPassing: true });
