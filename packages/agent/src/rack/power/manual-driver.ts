import type { PowerState } from '@selvedge/api';
import { type BmcIdentity, type BootSetting, type PowerDriver, PowerError } from './power-driver.ts';

/** A person presses the button. */
export class ManualDriver implements PowerDriver {
  readonly abilities = { readsState: false, turnsOn: false, turnsOff: false, setsBoot: false };

  async state(): Promise<PowerState> {
    return 'Unknown';
  }

  turn(): Promise<void> {
    return Promise.reject(unsupported('This machine is switched by hand: press its power button.'));
  }

  setBoot(): Promise<BootSetting> {
    return Promise.reject(
      unsupported('What this machine boots is set by hand: put network boot first in its firmware.'),
    );
  }

  async identify(): Promise<BmcIdentity> {
    return { quirks: [] };
  }

  async close(): Promise<void> {}
}

export function unsupported(message: string): PowerError {
  return new PowerError('Unsupported', message, { isPassing: false });
}
