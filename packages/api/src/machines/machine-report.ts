import type { MachineInventory } from './machine-inventory.ts';
import type { MachineErrorReason, MachinePhase, MachineStep, OperationalStatus } from './machine-phases.ts';
import type { BootMode, MachineIdentity, ProvisionedImage } from './rack-order.ts';

export const powerStates = ['On', 'Off', 'Unknown'] as const;
export type PowerState = (typeof powerStates)[number];

/** What a rack says of one box. Times are RFC 3339 by the hub-corrected clock of the rack; nothing is taken from the clock of the box. */
export interface MachineReport {
  /** Stable at the rack: the uid of the Machine, or `box:<mac>` of a box that no order names. */
  readonly key: string;
  /** Grows with every report of this rack; never used twice. Starts at the hub's time in milliseconds at enrolment. */
  readonly seq: number;
  /** Of the order that it acts on; absent for a box that no order names. */
  readonly generation?: number;
  readonly phase: MachinePhase;
  readonly phaseSince: string;
  readonly status: OperationalStatus;
  readonly error?: {
    readonly reason: MachineErrorReason;
    readonly message: string;
    readonly since: string;
    /** How often in a row. */
    readonly count: number;
  };
  /** What is expected, since when, until when, what was last seen, what happens next. While the rack works or waits. */
  readonly waiting?: {
    readonly step?: MachineStep;
    readonly expected: string;
    readonly since: string;
    readonly until?: string;
    readonly lastSeen?: { readonly what: string; readonly time: string };
    readonly next: string;
  };
  readonly progress?: {
    readonly step: MachineStep;
    readonly done: number;
    readonly total: number;
    readonly unit: 'Bytes' | 'Parts';
  };
  readonly power: { readonly state: PowerState; readonly observedTime: string; readonly message?: string };
  /** As the box itself said: what its firmware and its inspection showed. */
  readonly seen: MachineIdentity & {
    readonly product?: string;
    readonly manufacturer?: string;
    readonly bootMode?: BootMode;
    readonly architecture?: string;
    readonly address?: string;
    readonly lastBootTime?: string;
  };
  /** What is on its disk, by us. */
  readonly provisioned?: ProvisionedImage;
  /** Whether its disks hold data that nobody allowed to be lost, as last inspected or erased. */
  readonly disks?: 'Blank' | 'Data';
  readonly inventoryDigest?: string;
  /** Present while the hub has not acknowledged this digest. */
  readonly inventory?: MachineInventory;
  readonly inspectedTime?: string;
  readonly results?: readonly ScriptResult[];
  /** Requests that were carried out, by their time. */
  readonly answered?: { readonly inspect?: string; readonly reboot?: string; readonly retry?: string };
  /** What happened, oldest first: those that the hub has not acknowledged, at most 50 a report. */
  readonly timeline?: readonly MachineMoment[];
  readonly observedTime: string;
}

export interface MachineMoment {
  /** Counts from 1 for each key. */
  readonly n: number;
  readonly time: string;
  readonly type: 'Normal' | 'Warning';
  /** UpperCamelCase: `BootRequested`, `PhaseChanged`, `PowerOn`. */
  readonly reason: string;
  readonly message: string;
}

/** What a commissioning script or test came to. */
export interface ScriptResult {
  readonly name: string;
  readonly status: 'Passed' | 'Failed' | 'Degraded' | 'Skipped' | 'TimedOut';
  readonly exitCode?: number;
  readonly durationSeconds?: number;
  /** Last 2,000 characters. */
  readonly output?: string;
  /** From the script's result file. */
  readonly values?: Readonly<Record<string, string>>;
  readonly time: string;
}

/** What a rack says of itself; sent at start and when it changed. */
export interface RackReport {
  readonly observedTime: string;
  readonly networks: readonly {
    readonly name: string;
    readonly interface: string;
    readonly state: 'Serving' | 'Failed' | 'Off';
    readonly message?: string;
    /** Other DHCP servers that answered there although the rack owns DHCP. */
    readonly otherServers?: readonly {
      readonly address: string;
      readonly macAddress?: string;
      readonly lastSeenTime: string;
    }[];
  }[];
  /** Why the rack as a whole does not work: dnsmasq is not there, no right to open the port. */
  readonly message?: string;
  /** Boxes that no order names were more than the rack remembers; absent: it knows all that came. */
  readonly discoveryFull?: {
    /** So many it remembers, and no more. */
    readonly limit: number;
    /** Others that asked what to boot, of late: they boot their own disks, and the hub hears nothing of them. Counted to 1,000. */
    readonly turnedAway: number;
    readonly lastSeenTime: string;
  };
  /** Images: whole here, or how far. */
  readonly images: readonly {
    readonly name: string;
    readonly digest: string;
    readonly state: 'Ready' | 'Fetching' | 'Failed';
    readonly doneBytes?: number;
    readonly totalBytes?: number;
    readonly message?: string;
  }[];
}
