import type { MachineOrder, RackOrder, SiteScriptOrder } from '@selvedge/api';
import type { PowerAbilities } from '../power/power-driver.ts';
import type { RackTimings } from './timings.ts';

/** The image that a machine is to get, as far as it is here. */
export type ImageFacts =
  | { readonly isReady: true; readonly diskBytes: number; readonly chunks: number; readonly digest: string }
  | {
      readonly isReady: false;
      readonly message: string;
      readonly hasFailed: boolean;
      readonly reason?: 'ImageUnavailable' | 'ImageMismatch';
    };

/** What the planner goes by, beside the record of the machine. */
export interface PlanFacts {
  /** RFC 3339. */
  readonly now: string;
  readonly timings: RackTimings;
  readonly discovery: RackOrder['discovery'];
  /** Absent: nobody wants anything of this box. */
  readonly order?: MachineOrder;
  /** Of `order.provision`. */
  readonly image?: ImageFacts;
  readonly confirmation?: 'CloudInit' | 'Boot';
  /** Why what the order needs is not here: a Secret. */
  readonly missing?: string;
  /** What comes before this machine's disk is written: the disks of others. */
  readonly writeTurn?: string;
  readonly power: PowerAbilities;
  /** Why its BMC cannot be asked yet: the Secret with the login. */
  readonly missingLogin?: string;
  readonly scripts: readonly SiteScriptOrder[];
  /** Text of the script is here. */
  readonly hasScript: (script: SiteScriptOrder) => boolean;
}

/** Of a machine whose BMC is not known: a person does it. */
export const noPower: PowerAbilities = {
  readsState: false,
  turnsOn: false,
  turnsOff: false,
  setsBoot: false,
};
