import type { MachineInventory } from '@selvedge/api';
import type { BodyReader } from './body-reader.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A server with a hundred disks has 100 KiB. */
const maxBytes = 512 * 1024;
const maxDepth = 12;
const maxTextLength = 1_000;

const numbers = ['cpu.total', 'memory.total'] as const;
const lists = [
  'cpu.sockets',
  'gpu.cards',
  'network.cards',
  'storage.disks',
  'usb.devices',
  'pci.devices',
] as const;

/** Fields that are text wherever they stand: readers search in them. */
const texts = new Set(
  (
    'architecture class date device device_id device_path driver driver_version family firmware_version hctl model name ' +
    'pci_address product product_id serial signature sku type usb_address uuid vendor vendor_id version wwn'
  ).split(' '),
);
/** Fields that are numbers wherever they stand. */
const amounts = new Set(['block_size', 'frequency', 'numa_node', 'rpm', 'size', 'total']);

/**
 * What a box says that it is made of. Hardware is what it is, so only what readers rely on has to be there: the lists, the totals, and what tells disks apart. Texts are
 * one line without controls, and what has no value, or one of another type, is left out.
 */
export function parseMachineInventory(reader: BodyReader, value: unknown, path: string): MachineInventory {
  const fields = reader.object(value, path);
  if (Buffer.byteLength(JSON.stringify(fields)) > maxBytes) {
    reader.fault(path, 'FieldValueTooLong', `must have at most ${maxBytes} bytes`);
    return {} as MachineInventory;
  }
  const cleaned = clean(fields, maxDepth) as Fields;
  reader.object(cleaned['environment'], `${path}.environment`);
  reader.object(cleaned['networks'], `${path}.networks`);
  const resources = reader.object(cleaned['resources'], `${path}.resources`);
  reader.object(resources['system'], `${path}.resources.system`);
  const partOf = (name: string) => {
    const [group = '', field = ''] = name.split('.');
    return reader.object(resources[group], `${path}.resources.${group}`)[field];
  };
  for (const name of numbers) {
    const amount = partOf(name);
    if (typeof amount === 'number' && amount >= 0) continue;
    reader.fault(`${path}.resources.${name}`, 'FieldValueInvalid', 'must be a number, not below zero');
  }
  for (const name of lists) {
    const at = `${path}.resources.${name}`;
    const entries = reader.list(partOf(name), at, 10_000);
    for (const [i, entry] of entries.entries()) reader.object(entry, `${at}[${i}]`);
  }
  checkDisks(reader, partOf('storage.disks'), `${path}.resources.storage.disks`);
  return cleaned as unknown as MachineInventory;
}

function checkDisks(reader: BodyReader, disks: unknown, path: string): void {
  for (const [i, entry] of (Array.isArray(disks) ? disks : []).entries()) {
    const disk = reader.object(entry, `${path}[${i}]`);
    const isUsable =
      typeof disk['id'] === 'string' &&
      typeof disk['size'] === 'number' &&
      disk['size'] >= 0 &&
      Array.isArray(disk['partitions']);
    if (isUsable) continue;
    const rule = 'must have an id, a size and a list of partitions';
    reader.fault(`${path}[${i}]`, 'FieldValueInvalid', rule);
  }
}

/** Without null, without what could steer a terminal, and no deeper than it may be. */
function clean(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return value.replace(steering, ' ').trim().slice(0, maxTextLength);
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value !== 'object' || value === null) return value ?? undefined;
  if (depth === 0) return undefined;
  if (Array.isArray(value)) {
    return value.map((entry) => clean(entry, depth - 1)).filter((entry) => entry !== undefined);
  }
  const entries = Object.entries(value)
    .map(([key, part]): [string, unknown] => {
      const cleaned = isOfItsType(key, part) ? clean(part, depth - 1) : undefined;
      return [key.replace(steering, ''), cleaned];
    })
    .filter(([, part]) => part !== undefined);
  return Object.fromEntries(entries);
}

function isOfItsType(key: string, value: unknown): boolean {
  if (texts.has(key)) return typeof value === 'string';
  return !amounts.has(key) || typeof value === 'number';
}

/** Controls, and what changes the direction of writing. */
const steering = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu;
