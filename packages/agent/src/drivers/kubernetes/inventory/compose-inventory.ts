import type {
  InventoryNode,
  InventoryNodeGroup,
  KubeObject,
  NodeGroup,
  ResourceAmounts,
  SiteInventory,
} from '@selvedge/api';
import { sumQuantities } from './quantity.ts';
import { readStorageClass } from './read-node.ts';

export interface InventorySources {
  readonly version: string;
  readonly distribution: string | undefined;
  readonly nodes: readonly InventoryNode[];
  readonly storageClasses: readonly KubeObject[];
  readonly nodeGroups: readonly NodeGroup[];
  readonly unreadable: readonly ('nodes' | 'storageClasses')[];
}

/** The inventory of a cluster, in the order that its contract says. */
export function composeInventory(sources: InventorySources): SiteInventory {
  const { version, distribution, unreadable } = sources;
  const nodes = sources.nodes.toSorted(byName);
  const ready = nodes.filter(({ isReady }) => isReady);
  return {
    cluster: {
      kind: 'kubernetes',
      version,
      ...(distribution === undefined ? {} : { distribution }),
      ...(unreadable.length === 0 ? {} : { unreadable }),
      capacity: sumAmounts(ready.map(({ capacity }) => capacity)),
      allocatable: sumAmounts(ready.map(({ allocatable }) => allocatable)),
    },
    nodes,
    storageClasses: sources.storageClasses.map(readStorageClass).toSorted(byName),
    nodeGroups: sources.nodeGroups.map((group) => composeGroup(group, nodes)),
  };
}

function composeGroup({ name }: NodeGroup, nodes: readonly InventoryNode[]): InventoryNodeGroup {
  const own = nodes.filter(({ nodeGroups }) => nodeGroups?.includes(name) === true);
  const ready = own.filter(({ isReady }) => isReady);
  const accelerators = ready
    .flatMap((node) => node.accelerators ?? [])
    .reduce((sum, { count }) => sum + count, 0);
  return {
    name,
    nodes: own.length,
    readyNodes: ready.length,
    allocatable: sumAmounts(ready.map(({ allocatable }) => allocatable)),
    ...(accelerators === 0 ? {} : { accelerators }),
  };
}

/** Of each resource, over all that have it. */
export function sumAmounts(amounts: readonly ResourceAmounts[]): ResourceAmounts {
  const names = [...new Set(amounts.flatMap((amount) => Object.keys(amount)))].sort();
  return Object.fromEntries(
    names.map((name) => [name, sumQuantities(amounts.flatMap((amount) => amount[name] ?? []))]),
  );
}

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
