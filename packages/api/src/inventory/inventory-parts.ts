import type {
  InventoryCluster,
  InventoryNode,
  InventoryNodeGroup,
  InventoryStorageClass,
  ResourceAmounts,
  SiteInventory,
} from './site-inventory.ts';

/** An inventory taken apart, as differences name its parts: `cluster`, `nodeGroups`, `storageClass/NAME`, `node/NAME`. */
export type InventoryParts = Readonly<Record<string, unknown>>;

/** What is longer is cut before it is sent (`boundedInventory`), and refused by the hub. */
export const inventoryLimits = {
  /** The most that Kubernetes itself supports. */
  nodes: 5_000,
  storageClasses: 200,
  nodeGroups: 50,
  rolesPerNode: 20,
  conditionsPerNode: 20,
  acceleratorsPerNode: 20,
  amounts: 40,
  nameCharacters: 253,
  textCharacters: 200,
  messageCharacters: 300,
} as const;

/** Parts of what there is only; of nothing, none. */
export function inventoryParts(inventory: SiteInventory): InventoryParts {
  const { cluster, nodes, storageClasses, nodeGroups } = inventory;
  return {
    ...(cluster === undefined ? {} : { cluster }),
    ...(nodeGroups.length === 0 ? {} : { nodeGroups }),
    ...Object.fromEntries(
      storageClasses.map((storageClass) => [`storageClass/${storageClass.name}`, storageClass]),
    ),
    ...Object.fromEntries(nodes.map((node) => [`node/${node.name}`, node])),
  };
}

/** The inverse of `inventoryParts`. */
export function inventoryOfParts(parts: InventoryParts): SiteInventory {
  const named = <T>(prefix: string) =>
    Object.keys(parts)
      .filter((key) => key.startsWith(prefix))
      .sort()
      .map((key) => parts[key] as T);
  const cluster = parts['cluster'] as InventoryCluster | undefined;
  return {
    ...(cluster === undefined ? {} : { cluster }),
    nodes: named<InventoryNode>('node/'),
    storageClasses: named<InventoryStorageClass>('storageClass/'),
    nodeGroups: (parts['nodeGroups'] as readonly InventoryNodeGroup[] | undefined) ?? [],
  };
}

/** The same within `inventoryLimits`: what a hub takes. */
export function boundedInventory(inventory: SiteInventory): SiteInventory {
  const { cluster, nodes, storageClasses, nodeGroups } = inventory;
  return {
    ...(cluster === undefined ? {} : { cluster: boundedCluster(cluster) }),
    nodes: nodes.slice(0, inventoryLimits.nodes).map(boundedNode),
    storageClasses: storageClasses
      .slice(0, inventoryLimits.storageClasses)
      .map((storageClass) => ({ ...storageClass, provisioner: textOf(storageClass.provisioner) })),
    nodeGroups: nodeGroups
      .slice(0, inventoryLimits.nodeGroups)
      .map((group) => ({ ...group, allocatable: boundedAmounts(group.allocatable) })),
  };
}

function boundedCluster(cluster: InventoryCluster): InventoryCluster {
  const { kind, version, distribution, unreadable, capacity, allocatable } = cluster;
  return {
    kind,
    version: textOf(version),
    ...(distribution === undefined ? {} : { distribution: textOf(distribution) }),
    ...(unreadable === undefined ? {} : { unreadable }),
    capacity: boundedAmounts(capacity),
    allocatable: boundedAmounts(allocatable),
  };
}

function boundedNode(node: InventoryNode): InventoryNode {
  const { roles, conditions, kubeletVersion, os, architecture, nodeGroups, accelerators } = node;
  return {
    ...node,
    roles: roles.slice(0, inventoryLimits.rolesPerNode).map(textOf),
    ...(conditions === undefined
      ? {}
      : {
          conditions: conditions
            .slice(0, inventoryLimits.conditionsPerNode)
            .map(({ type, status, reason, message }) => ({
              type: textOf(type),
              status: textOf(status),
              ...(reason === undefined ? {} : { reason: textOf(reason) }),
              ...(message === undefined
                ? {}
                : { message: inventoryText(message, inventoryLimits.messageCharacters) }),
            })),
        }),
    ...(kubeletVersion === undefined ? {} : { kubeletVersion: textOf(kubeletVersion) }),
    ...(os === undefined ? {} : { os: textOf(os) }),
    ...(architecture === undefined ? {} : { architecture: textOf(architecture) }),
    ...(nodeGroups === undefined ? {} : { nodeGroups: nodeGroups.slice(0, inventoryLimits.nodeGroups) }),
    capacity: boundedAmounts(node.capacity),
    allocatable: boundedAmounts(node.allocatable),
    ...(accelerators === undefined
      ? {}
      : {
          accelerators: accelerators
            .slice(0, inventoryLimits.acceleratorsPerNode)
            .map(({ resource, count, product }) => ({
              resource,
              count,
              ...(product === undefined ? {} : { product: textOf(product) }),
            })),
        }),
  };
}

function boundedAmounts(amounts: ResourceAmounts): ResourceAmounts {
  return Object.fromEntries(
    Object.entries(amounts)
      .slice(0, inventoryLimits.amounts)
      .map(([name, amount]) => [name, textOf(amount)]),
  );
}

function textOf(text: string): string {
  return inventoryText(text, inventoryLimits.textCharacters);
}

/** One line, no longer than that, without what could steer a terminal: the only form in which a hub takes texts of an inventory. */
export function inventoryText(text: string, maxCharacters: number): string {
  return text.replace(/\s+/g, ' ').replace(steering, '').slice(0, maxCharacters).toWellFormed();
}

/** Controls, and what changes the direction of writing. */
const steering = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
