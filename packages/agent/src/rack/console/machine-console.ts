import type { BmcOrder } from '@selvedge/api';
import type { BmcHosts } from '../power/bmc-hosts.ts';
import type { PowerLogin } from '../power/power-driver.ts';

/** What of a machine its console needs. */
export interface MachineConsole {
  readonly bmc?: BmcOrder;
  readonly login: PowerLogin;
  /** Which hosts may be called; absent: any. */
  readonly hosts?: BmcHosts;
  /** What its inspection system wrote lately. */
  readonly log: string;
  /** Hears what it writes from now on. Returns the unsubscriber. */
  onLog(listener: (text: string) => void): () => void;
}

/** The rack, as the service link sees it. */
export interface RackConsoles {
  /** By UID of the Machine; undefined: the rack does not know it. */
  console(uid: string): MachineConsole | undefined;
}
