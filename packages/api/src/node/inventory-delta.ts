import { canonicalJson } from '../canonical-json.ts';
import type { InventoryParts } from '../inventory/inventory-parts.ts';
import type { InventoryReport } from '../inventory/site-inventory.ts';
import { sha256Digest } from './digest.ts';

/** '' of nothing. */
export function inventoryDigest(parts: InventoryParts): string {
  return Object.keys(parts).length === 0 ? '' : sha256Digest(canonicalJson(parts));
}

/**
 * What leads from `before` to `after`; no more of it than fits into `maxBytes` (but one part at least): what is left makes the next
 * difference, from there on. Of what stays the same an empty one: it asks whether the hub has it.
 */
export function inventoryDelta(
  before: InventoryParts,
  after: InventoryParts,
  maxBytes = Number.POSITIVE_INFINITY,
): Pick<InventoryReport, 'from' | 'to' | 'parts'> {
  const parts: Record<string, unknown> = {};
  let bytes = 0;
  for (const [key, part] of changedParts(before, after)) {
    bytes += Buffer.byteLength(JSON.stringify([key, part]));
    if (bytes > maxBytes && Object.keys(parts).length > 0) break;
    parts[key] = part;
  }
  return { from: inventoryDigest(before), to: inventoryDigest(withChanges(before, parts)), parts };
}

/** What there is after the report; `undefined`: it does not start from `before`, or does not lead where it says. */
export function applyInventoryReport(
  before: InventoryParts,
  { from, to, parts }: Pick<InventoryReport, 'from' | 'to' | 'parts'>,
): InventoryParts | undefined {
  const base = from === '' ? {} : before;
  if (inventoryDigest(base) !== from) return undefined;
  const after = withChanges(base, parts);
  return inventoryDigest(after) === to ? after : undefined;
}

/** What is gone first, then what is not about a single node: of a big site the whole picture comes before the details. */
function changedParts(before: InventoryParts, after: InventoryParts): [key: string, part: unknown][] {
  const gone = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  const changed = Object.keys(after)
    .filter((key) => !Object.hasOwn(before, key) || canonicalJson(before[key]) !== canonicalJson(after[key]))
    .sort((a, b) => Number(isOfNode(a)) - Number(isOfNode(b)) || (a < b ? -1 : 1));
  return [
    ...gone.sort().map((key): [string, null] => [key, null]),
    ...changed.map((key): [string, unknown] => [key, after[key]]),
  ];
}

function isOfNode(key: string): boolean {
  return key.startsWith('node/');
}

function withChanges(before: InventoryParts, changes: InventoryParts): InventoryParts {
  const after = new Map(Object.entries(before));
  for (const [key, part] of Object.entries(changes)) {
    if (part === null) after.delete(key);
    else after.set(key, part);
  }
  return Object.fromEntries(after);
}
