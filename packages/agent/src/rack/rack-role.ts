import type { MachineOrder, MachineReport, RackReport, SitePolicy } from '@selvedge/api';
import type { LinkDoor } from '../link/link-door.ts';
import type { ListenAddress } from './boot/boot-server.ts';
import type { RackTimings } from './life/timings.ts';

/** The rack as the rest of the agent sees it: a role that few agents have, loaded only by them. */
export interface RackRole {
  /** Level-based: what the site's policy says of the rack now, with the hub away the last that was accepted. */
  setPolicy(policy: SitePolicy): void;
  /** A value or a script that machines need may have come. */
  contentChanged(): void;
  /** Digests of scripts, all that are wanted. */
  wantedContent(): readonly string[];
  /** What the hub is to hear. */
  readonly machines: {
    hasNews(): boolean;
    take(maxBytes: number): MachineReport[];
    digest(): string;
    acknowledge(seq: number): void;
    sendAll(): void;
  };
  report(): RackReport;
  /** Called when there is something that the hub should have now. */
  onNews(listener: () => void): void;
  /** Once the policy is set. A disk that hangs does not keep the rest of the agent waiting. */
  start(): void;
  /** With the way to consoles of machines in it. */
  openDoor(door: LinkDoor): LinkDoor;
  findOrder(uid: string): MachineOrder | undefined;
  close(): Promise<void>;
}

/** Of the agent that has this role. */
export interface RackOptions {
  /** Where the boot server listens; default: the rack's address in each network, with `rackPort`. */
  readonly listen?: ListenAddress | undefined;
  /** Folder of boot files that go before those of the inspection image: `ARCHITECTURE/NAME`, or `NAME` for all. */
  readonly bootFilesDir?: string | undefined;
  /** To sign boot scripts with. */
  readonly scriptKey?: { readonly keyFile: string; readonly certificateFile: string } | undefined;
  /** BMCs and serial consoles may be at addresses of this very machine and at link-local ones. */
  readonly allowLocalBmc?: boolean | undefined;
  /** The dnsmasq program; default: as found. */
  readonly dnsmasq?: string | undefined;
  readonly timings?: Partial<RackTimings> | undefined;
}
