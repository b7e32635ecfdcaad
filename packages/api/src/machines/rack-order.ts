import type { SiteScriptOrder } from './script-metadata.ts';

/**
 * What the hub wants of a site's rack: a part of the signed policy of the site (`SitePolicy.rack`). A machine that is missing from it is left as it is: it boots from its own
 * disk, is not powered off and never written to (law 3).
 */
export interface RackOrder {
  /** `Site.spec.rack.discovery`. */
  readonly discovery: 'Record' | 'Inspect' | 'Ignore';
  /** `Site.spec.rack.writesAtOnce`; default `defaultWritesAtOnce`. */
  readonly writesAtOnce?: number;
  readonly networks: readonly RackNetwork[];
  /** MachineImage with type Inspection for each architecture. */
  readonly inspection: readonly RackInspectionImage[];
  /** Images that machines name. Sorted by name. */
  readonly images: readonly RackImage[];
  /** MachineScripts of the site; content by digest as a blob. Sorted by name. */
  readonly scripts: readonly SiteScriptOrder[];
  /** Sorted by uid. */
  readonly machines: readonly MachineOrder[];
}

/** Machines whose disks a rack writes at the same time. */
export const defaultWritesAtOnce = 8;

export const dhcpModes = ['Own', 'Proxy', 'External'] as const;

/** A network on which machines boot. */
export interface RackNetwork {
  readonly name: string;
  /** Of the rack's machine: `eth1`. */
  readonly interface: string;
  /**
   * `Own`: the rack is the DHCP server there. `Proxy`: another server gives addresses, the rack adds how to boot (PXE proxyDHCP). `External`: the other server's
   * configuration says how to boot; the rack only answers (`selvedge site dhcp-snippets` prints what to put there).
   */
  readonly dhcp: (typeof dhcpModes)[number];
  /** The rack's own address there, and the prefix: `10.10.0.1/24`. */
  readonly address: string;
  /** First and last address for machines without a reservation; with Own. */
  readonly range?: { readonly from: string; readonly to: string };
  readonly gateway?: string;
  readonly dnsServers?: readonly string[];
  readonly ntpServers?: readonly string[];
  readonly leaseSeconds?: number;
}

/** `arch` as OCI names it. */
export type MachineArchitecture = 'amd64' | 'arm64';

export interface RackInspectionImage {
  readonly name: string;
  readonly architecture: MachineArchitecture;
  /** Of the logins that open its registry; default `default`. */
  readonly namespace?: string;
  /** OCI reference with digest: an artifact whose layers are `vmlinuz`, `initrd.img`, boot loaders, by their title annotation. */
  readonly reference: string;
}

export const diskImageFormats = ['Raw', 'QCOW2'] as const;

export interface RackImage {
  readonly name: string;
  readonly architecture: MachineArchitecture;
  readonly bootModes: readonly BootMode[];
  /** OCI reference with digest: an artifact of one layer, the disk image. */
  readonly reference: string;
  /** Of the logins that open its registry; default `default`. */
  readonly namespace?: string;
  readonly format: (typeof diskImageFormats)[number];
  /** Digest of the layer, as the image stands there (compressed when it is). `sha256:…`. */
  readonly digest: string;
  /** Of the layer. */
  readonly sizeBytes: number;
  /** Of the disk that it becomes: what the disk must have at least. */
  readonly diskBytes?: number;
  /** How the rack knows that the installed system runs. */
  readonly confirmation: 'CloudInit' | 'Boot';
  /** Default user data. */
  readonly userData?: UserData;
}

export const bootModes = ['BIOS', 'UEFI'] as const;
export type BootMode = (typeof bootModes)[number];

/** Exactly one. `secret`: id of a sealed value (`Secret/<namespace>/<name>`) and the key in it. */
export type UserData = { readonly text: string } | { readonly secret: string; readonly key: string };

export interface MachineIdentity {
  /** SMBIOS system UUID, lower case with dashes. */
  readonly uuid?: string;
  readonly serials?: readonly string[];
  /** Lower case with colons; the first one is that of the port it boots from. */
  readonly macAddresses?: readonly string[];
}

export const bmcTypes = ['Redfish', 'IPMI', 'WakeOnLAN', 'Webhook', 'Manual'] as const;
export type BmcType = (typeof bmcTypes)[number];

/** How a machine is switched, and told what to boot. */
export interface BmcOrder {
  readonly type: BmcType;
  /**
   * Redfish: `https://host[:port][/redfish/v1/Systems/ID]`. IPMI: `host[:port]`. WakeOnLAN: broadcast address `[ip][:port]`, default that of the rack's network.
   * Webhook: base URL. Manual: absent.
   */
  readonly address?: string;
  /** Id of a sealed Secret with `username`, `password` (IPMI also `kg`); Webhook: `token`. */
  readonly credentials?: string;
  /** IPMI; default 17, then 3. */
  readonly cipherSuite?: number;
  /** Redfish over TLS: PEM of the authority, or accept any certificate. */
  readonly caCertificate?: string;
  readonly insecureSkipVerify?: boolean;
  /** Names of quirks (`bmcQuirkNames`) beside those that the vendor's name brings. */
  readonly quirks?: readonly string[];
  /** WakeOnLAN; default the first of the identity. */
  readonly macAddress?: string;
  /** Where the serial console is, when not by IPMI: `tcp://host:port`. */
  readonly console?: string;
}

/** All that are given must fit; the first disk by size, then name, is taken of those. As Metal3's root device hints. */
export interface RootDeviceHints {
  /** `/dev/sda`, or a link as in `/dev/disk/by-id/…`. */
  readonly deviceName?: string;
  readonly serialNumber?: string;
  readonly wwn?: string;
  /** Part of it, without case. */
  readonly model?: string;
  readonly vendor?: string;
  readonly hctl?: string;
  readonly minSizeGigabytes?: number;
  readonly rotational?: boolean;
}

export const eraseModes = ['None', 'Quick', 'Secure'] as const;
export type EraseMode = (typeof eraseModes)[number];

/** One machine as the rack is to have it. */
export interface MachineOrder {
  readonly name: string;
  readonly uid: string;
  /** `metadata.generation` of the Machine; reports name it. */
  readonly generation: number;
  readonly identity: MachineIdentity;
  /** A person took it in. Until then it is neither inspected (but see `discovery`) nor written to. */
  readonly accepted: boolean;
  readonly bmc?: BmcOrder;
  readonly bootMode?: BootMode;
  /** How it is told to boot its own disk once the rack is asked; default by platform. */
  readonly localBoot?: 'Exit' | 'Sanboot' | 'NotFound';
  /** Absent: as its phase needs it (off while Available, on when Provisioned). */
  readonly power?: 'On' | 'Off';
  /** Somebody has it: the claim or person. */
  readonly allocated: boolean;
  /** What is to be on its disk; absent: nothing, what is there is released. */
  readonly provision?: {
    /** Name in `RackOrder.images`. */
    readonly image: string;
    readonly hostname: string;
    readonly userData?: UserData;
    /** cloud-init network configuration, version 1 or 2, YAML or JSON text. */
    readonly networkConfig?: string;
    readonly rootDevice?: RootDeviceHints;
    /** Another value provisions again. */
    readonly instanceId: string;
  };
  /** What becomes of the data on its disks when it is released. */
  readonly erase: EraseMode;
  /** A person consented, by the machine's name, that what is on its disks may be lost. */
  readonly wipeConsent: boolean;
  /** Address and name that it always gets. */
  readonly address?: string;
  readonly inspection: {
    /** Tests to run after collecting. */
    readonly tests: readonly MachineTest[];
    readonly isDisabled?: boolean;
  };
  /** RFC 3339: each newer value is done once. */
  readonly requests: { readonly inspect?: string; readonly reboot?: string; readonly retry?: string };
  readonly rescue?: { readonly authorizedKeys: readonly string[] };
  readonly broken?: { readonly reason: string };
  /** Nothing is written, erased or switched off. */
  readonly isProtected?: boolean;
  /** It ran before the rack knew it: it is Provisioned, nothing is written. */
  readonly isExternal?: boolean;
  /**
   * What the hub last heard of it: for a rack that has no record of it (it lost its disk, or the machine came from another site), so that what runs on it runs on. A rack
   * that has one goes by that. Only what changes with what is on its disk, or with the order: each change of it is another order.
   */
  readonly known?: KnownMachine;
}

/** `Provisioning`: something may be on its disk, and nobody knows what became of it. */
export interface KnownMachine {
  readonly phase: 'Allocated' | 'Provisioning' | 'Provisioned';
  readonly provisioned?: ProvisionedImage;
}

/** What was written to the disk of a machine. Times are RFC 3339. */
export interface ProvisionedImage {
  readonly image: string;
  readonly digest: string;
  readonly instanceId: string;
  /** Kernel name and serial of the disk. */
  readonly device: string;
  readonly serial?: string;
  readonly writtenTime: string;
  /** When the installed system itself (or its boot) said so. */
  readonly confirmedTime?: string;
}

export const machineTests = ['memory', 'disk', 'network'] as const;
export type MachineTest = (typeof machineTests)[number];
