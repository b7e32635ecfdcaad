import type {
  DesiredItem,
  ItemReport,
  KubeObject,
  NodeGroup,
  RemovalMode,
  ScopedLogin,
  SecretValue,
  SiteInventory,
} from '@selvedge/api';
import type { LinkDoor } from '../link/link-door.ts';
import type { MirrorReader } from '../mirror/mirror-reader.ts';

/** One item that the site is to run. Everything in it comes from the verified desired state. */
export interface DriverItem {
  readonly item: DesiredItem;
  /**
   * May content and images be fetched now? Without it, preparing goes as far as what is on this machine allows (that the active
   * release needs is fetched in any case).
   */
  readonly mayFetch: boolean;
  /**
   * May a prepared release take over? Without it the driver prepares (content, images, disk, dry run), reports `Prepared`, and
   * what was active goes on. A release that is active already stays so.
   */
  readonly mayActivate: boolean;
  readonly siteName: string;
  /** Values for `${site.variables.NAME}`. */
  readonly variables: Readonly<Record<string, string | number | boolean>>;
  /** Labels of the Site, for overrides and variables. */
  readonly labels: Readonly<Record<string, string>>;
  /** Groups of the site's nodes, for `DeliveryRules.nodeGroups`. */
  readonly nodeGroups: readonly NodeGroup[];
  /**
   * Values of the Secrets that the release names (`DeliveryRules.secrets`), by their name at the hub; one that has not arrived is missing: the
   * release waits for it. Another value is another item for the driver: what uses it is renewed.
   */
  readonly secrets: ReadonlyMap<string, SecretValue>;
  /** The version of each of them, by the same name: what may be written down instead of the value. */
  readonly secretVersions: Readonly<Record<string, string>>;
  /** Logins for images of the application, as they are now; the runtime's own way to pull has them. Others are no other item. */
  readonly logins: readonly ScopedLogin[];
  /**
   * The release's content (`resolveRelease` makes of it what this site applies), from the agent's local, digest-verified content. May be called again at any time; rejects
   * while the content is not here yet (the driver reports Pending and asks again).
   */
  manifests(): Promise<readonly KubeObject[]>;
}

/** A tombstone to carry out: the only thing that removes what an item has at this site. */
export interface RemovalOrder {
  readonly id: string;
  readonly uid: string;
  readonly epoch: number;
  /** `Orphan`: the driver forgets the item and leaves everything of it running. */
  readonly mode: RemovalMode;
}

/**
 * What a driver says of one item. Times are the machine's own clock; the sync side corrects them and adds `seq`. The
 * answer to a removal order has an empty `release` and `digest`. `runningDigest` and `pods` are of what is in force, also
 * while another release is prepared.
 */
export type DriverReport = Omit<ItemReport, 'seq'>;

/**
 * Carries out items of one kind on this machine. Level-based: the last call of `setDesired` and the open removal orders are
 * the whole truth, so calls are idempotent and can be repeated after a restart. Methods never block on the runtime.
 */
export interface Driver {
  /** First part of the ids of the items that it takes. */
  readonly kind: 'Application';
  /**
   * Starts the loop and resolves at once; the loop goes on until the signal fires or `stop`. A runtime that cannot be reached is
   * reported with the items (reason `RuntimeUnavailable`) and tried again, so this never rejects.
   */
  start(signal: AbortSignal): Promise<void>;
  /** All items that this driver is to run. An item that is missing from the list is left as it is: absence removes nothing. */
  setDesired(items: readonly DriverItem[]): void;
  /** Groups of the site's nodes, for `inventory()`: known also while there is no item. What items use comes with them. */
  setNodeGroups(groups: readonly NodeGroup[]): void;
  /** Give it again after a restart until `Removed` was reported: orders are not kept by the driver. */
  remove(order: RemovalOrder): void;
  /** Called whenever an item's report changed in anything but `observedTime`. */
  onReport(listener: (report: DriverReport) => void): void;
  /**
   * When the driver last saw everything that it reported, by the machine's clock: what it reported still held then. `undefined` before
   * the first look and while the runtime cannot be reached.
   */
  lastLook(): Date | undefined;
  /** What the site is made of, as last read; `undefined` before that. Without heartbeats: it changes when something changed. */
  inventory(): SiteInventory | undefined;
  /** Called when `inventory()` has changed. */
  onInventory(listener: () => void): void;
  /** Where the service link leads. Asked once for each link that is opened. */
  openDoor(): Promise<LinkDoor>;
  /** What other sites take from this one. Absent: this driver has no cluster to read. */
  readonly mirror?: MirrorReader;
  /** What runs the containers, for `AgentInfo.runtime`: `podman 4.3.1 rootless`. */
  describe(): Promise<{ runtime: string }>;
  /** Ends the loop and waits for the step at hand. Containers go on running. */
  stop(): Promise<void>;
}
