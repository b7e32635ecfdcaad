import {
  type InventoryNode,
  printable,
  type ResourceAmounts,
  type Site,
  type SiteInventoryStatus,
  quantityToNumber,
} from '@selvedge/api';
import type { Paint } from '../program/terminal.ts';
import { formatAgo } from '../render/age.ts';
import { formatBytes } from '../render/bytes.ts';
import { type Cell, renderTable } from '../render/table.ts';

/** What the site is made of, in one line each. */
export function inventoryFacts({ status }: Site, now: Date): [string, string][] {
  const inventory = status?.inventory;
  if (inventory === undefined) return [];
  const { cluster, nodeCount, readyNodes, observedTime } = inventory;
  const facts: [string, string][] = [];
  if (cluster !== undefined) {
    const { kind, version, distribution } = cluster;
    const of = distribution === undefined ? '' : ` (${distribution})`;
    facts.push(['Cluster', printable(`${kind} ${version}${of}, as found ${formatAgo(observedTime, now)}`)]);
    const free = amountsText(cluster.allocatable);
    if (free !== '') facts.push(['For pods', printable(free)]);
  }
  const unreadable = cluster?.unreadable ?? [];
  if (!unreadable.includes('nodes')) facts.push(['Nodes', `${nodeCount}, ${readyNodes} ready`]);
  if (unreadable.length > 0) {
    const what = unreadable.map((part) => unreadableWords[part]).join(' and ');
    facts.push(['Not known', `${what}: the agent may not read them there (its ClusterRole at the site)`]);
  }
  return facts;
}

const unreadableWords = { nodes: 'nodes', storageClasses: 'storage classes' } as const;

/** Tables of nodes, node groups and storage classes; each only where there is something in it. */
export function renderInventory({ spec, status }: Site, paint: Paint): string[] {
  const inventory = status?.inventory;
  if (inventory === undefined) return [];
  return [
    nodeTable(inventory, paint),
    nodeGroupTable(inventory, spec?.nodeGroups ?? [], paint),
    storageClassTable(inventory, paint),
  ].filter((table) => table !== '');
}

function nodeTable({ nodes, nodeCount }: SiteInventoryStatus, paint: Paint): string {
  if (nodes.length === 0) return '';
  const header = [
    'NODE',
    'READY',
    'ROLES',
    'GROUPS',
    'CPU',
    'MEMORY',
    'ACCELERATORS',
    'VERSION',
    'SYSTEM',
    'TROUBLE',
  ];
  const table = renderFilled(header, nodes.map(nodeCells), paint);
  const more = nodeCount - nodes.length;
  return more > 0 ? `${table}\nand ${more} more` : table;
}

/** Without the columns in which no row has anything. */
function renderFilled(header: readonly string[], rows: readonly Cell[][], paint: Paint): string {
  const isFilled = (_: unknown, column: number) => rows.some((row) => row[column] !== '');
  return renderTable(
    header.filter(isFilled),
    rows.map((row) => row.filter(isFilled)),
    paint,
  );
}

function nodeCells(node: InventoryNode): Cell[] {
  const { name, roles, isReady, isUnschedulable, nodeGroups = [], allocatable, accelerators = [] } = node;
  const kept = isUnschedulable === true ? ', cordoned' : '';
  return [
    name,
    isReady && kept === ''
      ? 'yes'
      : { text: `${isReady ? 'yes' : 'no'}${kept}`, tone: isReady ? 'caution' : 'bad' },
    roles.join(',') || '-',
    nodeGroups.join(',') || '-',
    amountText('cpu', allocatable['cpu']) ?? '-',
    amountText('memory', allocatable['memory']) ?? '-',
    accelerators.map(acceleratorText).join(', '),
    node.kubeletVersion ?? '-',
    [node.os, node.architecture].filter(Boolean).join(', ') || '-',
    troubleOf(node),
  ];
}

function acceleratorText({
  resource,
  count,
  product,
}: NonNullable<InventoryNode['accelerators']>[number]): string {
  return `${count} ${resource}${product === undefined ? '' : ` (${product})`}`;
}

/** That it is not ready says the column of that name; here is why. */
function troubleOf({ conditions = [] }: InventoryNode): string {
  return conditions
    .map(({ type, reason, message }) => [type, reason, message].filter(Boolean).join(': '))
    .join('; ');
}

function nodeGroupTable(
  { nodeGroups = [] }: SiteInventoryStatus,
  wanted: readonly { name: string }[],
  paint: Paint,
): string {
  const found = new Map(nodeGroups.map((group) => [group.name, group]));
  const rows = wanted.map(({ name }): Cell[] => {
    const group = found.get(name);
    if (group === undefined) return [name, '?', '?', '?', ''];
    const { nodes, readyNodes, allocatable, accelerators = 0 } = group;
    return [
      name,
      nodes === 0 ? { text: '0', tone: 'caution' } : String(nodes),
      String(readyNodes),
      amountsText(allocatable) || '-',
      accelerators === 0 ? '' : String(accelerators),
    ];
  });
  const header = ['NODE GROUP', 'NODES', 'READY', 'FOR PODS', 'ACCELERATORS'];
  return rows.length === 0 ? '' : renderFilled(header, rows, paint);
}

function storageClassTable({ storageClasses = [] }: SiteInventoryStatus, paint: Paint): string {
  if (storageClasses.length === 0) return '';
  const rows = storageClasses.map(({ name, provisioner, isDefault }): Cell[] => [
    isDefault === true ? `${name} (default)` : name,
    provisioner,
  ]);
  return renderTable(['STORAGE CLASS', 'PROVISIONER'], rows, paint);
}

/** The usual ones first, as `4 cpu, 8Gi memory, 110 pods`; then what else pods can ask for. */
function amountsText(amounts: ResourceAmounts): string {
  const usual = ['cpu', 'memory', 'ephemeral-storage', 'pods'];
  const others = Object.keys(amounts).filter((name) => !usual.includes(name) && amounts[name] !== '0');
  return [...usual, ...others.sort()]
    .flatMap((name) => {
      const text = amountText(name, amounts[name]);
      return text === undefined ? [] : `${text} ${name}`;
    })
    .join(', ');
}

/** Nodes tell their memory as `8029380Ki` and their processors as `3920m`. What is written otherwise stays as it is. */
function amountText(name: string, amount: string | undefined): string | undefined {
  const value = quantityToNumber(amount);
  if (value === undefined) return amount;
  if (name === 'cpu') return String(value);
  return name === 'memory' || name === 'ephemeral-storage' ? formatBytes(value) : amount;
}
