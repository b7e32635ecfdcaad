/**
 * What a site is made of, as its agent reads it there: `Site.status.inventory`. Quantities are Kubernetes quantities as text. The agent
 * tells the hub what changed, by parts; see `InventoryReport`. Fields that change by themselves (heartbeats) are no part of it.
 */
export interface SiteInventory {
  readonly cluster?: InventoryCluster;
  /** Sorted by name. */
  readonly nodes: readonly InventoryNode[];
  /** Sorted by name. */
  readonly storageClasses: readonly InventoryStorageClass[];
  /** As `Site.spec.nodeGroups`, in that order. */
  readonly nodeGroups: readonly InventoryNodeGroup[];
}

export interface InventoryCluster {
  /** `kubernetes` or `podman`. */
  readonly kind: 'kubernetes' | 'podman';
  /** `v1.33.2`. */
  readonly version: string;
  /** What can be told of it: `k3s`, `eks`, `microk8s`, … */
  readonly distribution?: string;
  /** What the agent may not read, so it is not here although it may be there. */
  readonly unreadable?: readonly ('nodes' | 'storageClasses')[];
  /** Sums over the nodes that are ready. */
  readonly capacity: ResourceAmounts;
  readonly allocatable: ResourceAmounts;
}

/** cpu, memory, ephemeral-storage, pods, and extended resources such as nvidia.com/gpu. */
export type ResourceAmounts = Readonly<Record<string, string>>;

export interface InventoryNode {
  readonly name: string;
  /** `control-plane`, `worker`, …; sorted. */
  readonly roles: readonly string[];
  readonly isReady: boolean;
  readonly isUnschedulable?: true;
  /** Only conditions that are not as they should be: Ready that is not True, pressure that is not False. */
  readonly conditions?: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason?: string;
    readonly message?: string;
  }[];
  readonly kubeletVersion?: string;
  readonly os?: string;
  readonly architecture?: string;
  readonly nodeGroups?: readonly string[];
  readonly capacity: ResourceAmounts;
  readonly allocatable: ResourceAmounts;
  /** Devices that do computing: `nvidia.com/gpu` with product where labels tell it. */
  readonly accelerators?: readonly {
    readonly resource: string;
    readonly count: number;
    readonly product?: string;
  }[];
}

export interface InventoryStorageClass {
  readonly name: string;
  readonly provisioner: string;
  readonly isDefault?: true;
}

export interface InventoryNodeGroup {
  readonly name: string;
  readonly nodes: number;
  readonly readyNodes: number;
  /** Sums over its ready nodes. */
  readonly allocatable: ResourceAmounts;
  readonly accelerators?: number;
}

/**
 * A difference of two inventories: `from` is the digest of what the hub has ('' for nothing), `to` of what it has after `parts` were put in:
 * `cluster`, `node/NAME`, `storageClass/NAME`, `nodeGroups`; null: it is gone. A hub that has something else asks for all (`sendInventory`),
 * and gets it with `from: ''`. One without parts, `from` and `to` the same, only asks whether the hub has that. What does not fit into one
 * report comes in several, each from where the one before led.
 */
export interface InventoryReport {
  readonly from: string;
  readonly to: string;
  readonly parts: Readonly<Record<string, unknown>>;
  /** When it was read, RFC 3339, hub-corrected clock. */
  readonly observedTime: string;
}
