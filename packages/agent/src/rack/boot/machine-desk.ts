import type {
  BootMode,
  MachineArchitecture,
  MachineErrorReason,
  MachineInventory,
  MachineStep,
  SystemTask,
} from '@selvedge/api';
import type { PreparedImage } from '../images/image-library.ts';

/** What a box showed when its firmware asked what to boot. Everything in it may be a lie. */
export interface BootRequest {
  readonly macAddress: string;
  readonly uuid?: string;
  readonly serial?: string;
  readonly manufacturer?: string;
  readonly product?: string;
  readonly platform: BootMode;
  readonly architecture: MachineArchitecture;
  /** From which it asked. */
  readonly address: string;
}

export type BootDecision =
  /** The inspection system, with a fresh nonce. `console`: extra words for the kernel command line. */
  | { readonly boot: 'System'; readonly nonce: string; readonly kernelArguments: readonly string[] }
  | { readonly boot: 'Disk'; readonly method: 'Exit' | 'Sanboot' | 'NotFound' }
  | { readonly boot: 'PowerOff' }
  /** Ask again after so many seconds; `attempts` times, then its own disk. */
  | { readonly boot: 'Wait'; readonly seconds: number; readonly attempts: number; readonly message: string };

/** A box that proved itself by its nonce. */
export interface SystemSession {
  readonly token: string;
  /** Key of the machine (`MachineReport.key`). */
  readonly key: string;
}

export interface TaskResult {
  readonly status: 'ok' | 'failed' | 'degraded' | 'skipped' | 'timedout';
  readonly reason?: MachineErrorReason;
  readonly message?: string;
  readonly exitCode?: number;
  readonly durationSeconds?: number;
  readonly values?: Readonly<Record<string, string>>;
  readonly output?: string;
}

/**
 * Who decides for machines, as the boot server sees it. What a method was told is durable when it resolves, so an agent that is killed at any instant goes on
 * where it was. Methods that take a session throw `SessionUnknown` for one that is no longer known.
 */
export interface MachineDesk {
  /** DHCP saw this MAC address; for discovery and for `last seen`. */
  dhcpSeen(lease: {
    macAddress: string;
    address?: string;
    event: 'Discover' | 'Lease' | 'Old' | 'Deleted';
    bootMode?: BootMode;
  }): void;
  bootRequested(request: BootRequest): Promise<BootDecision>;
  /** The box fetched a file of the system: `vmlinuz`. */
  fileFetched(address: string, file: string): void;
  /** Undefined: unknown, used, too old, or from another address where its MAC address is not seen. */
  openSession(proof: {
    nonce: string;
    address: string;
    macAddresses: readonly string[];
    uuid?: string;
    serial?: string;
  }): Promise<SystemSession | undefined>;
  /** The session with this token, from this address. */
  findSession(token: string, address: string): SystemSession | undefined;
  inventoryTaken(session: SystemSession, inventory: MachineInventory): Promise<void>;
  /** Waits at most `taskPollSeconds`. */
  nextTask(
    session: SystemSession,
    signal: AbortSignal,
  ): Promise<{ id: number; task: SystemTask } | undefined>;
  /** false: that is not the present task. */
  taskDone(session: SystemSession, id: number, result: TaskResult): Promise<boolean>;
  /** false: stop what you do and ask for the task. */
  progressed(session: SystemSession, progress: { step: MachineStep; done: number; total: number }): boolean;
  logged(session: SystemSession, text: string): void;
  /** Of the image that the machine is to get. */
  image(session: SystemSession): Promise<PreparedImage | undefined>;
  script(session: SystemSession, name: string): Promise<string | undefined>;
  /** Files of the NoCloud seed, by name; with `meta-data` and `user-data` always. `rackUrl`: where the box reaches the rack, to confirm itself. */
  seed(session: SystemSession, rackUrl: string): Promise<ReadonlyMap<string, string>>;
  /** The installed system runs. false: the token is unknown or was used. */
  confirmed(
    token: string,
    facts: { address: string; hostname?: string; instanceId?: string },
  ): Promise<boolean>;
}

export class SessionUnknown extends Error {
  override readonly name = 'SessionUnknown';
}
