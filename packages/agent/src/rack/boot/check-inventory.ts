import type { MachineInventory } from '@selvedge/api';
import { HttpRefusal } from './http-answer.ts';

/**
 * What a box sent as its inventory. Checked as far as the rack and the hub rely on it: the lists are there, names are short texts and sizes numbers. Boxes lie and break: nothing else of it is trusted.
 * @throws HttpRefusal 400 that names the place.
 */
export function parseInventory(text: string): MachineInventory {
  let value: unknown;
  try {
    // What could not be read is absent in our shape.
    value = JSON.parse(text, (_key, item: unknown) => item ?? undefined);
  } catch {
    throw new HttpRefusal(400, 'the inventory is no JSON');
  }
  checkDepth(value, '', 0);
  const inventory = getObject(value, 'inventory');
  getObject(inventory['environment'], 'environment');
  getObject(inventory['networks'], 'networks');
  const resources = getObject(inventory['resources'], 'resources');
  for (const [part, list] of lists) {
    const at = `resources.${part}`;
    const items = getObject(resources[part], at)[list];
    if (!Array.isArray(items) || items.length > mostItems) refuse(`${at}.${list}`, 'a list');
    for (const [i, item] of (items as unknown[]).entries()) getObject(item, `${at}.${list}[${i}]`);
  }
  getNumber(getObject(resources['memory'], 'resources.memory')['total'], 'resources.memory.total');
  getNumber(getObject(resources['cpu'], 'resources.cpu')['total'], 'resources.cpu.total');
  getObject(resources['system'], 'resources.system');
  checkDisks(resources);
  checkPorts(resources);
  dropOdd(resources);
  return inventory as unknown as MachineInventory;
}

type JsonRecord = Readonly<Record<string, unknown>>;

const lists = [
  ['cpu', 'sockets'],
  ['gpu', 'cards'],
  ['network', 'cards'],
  ['storage', 'disks'],
  ['usb', 'devices'],
  ['pci', 'devices'],
] as const;
const mostItems = 2000;
const deepest = 12;
const longestText = 4096;

function checkDisks(resources: JsonRecord): void {
  for (const [i, disk] of itemsOf(resources, 'storage', 'disks').entries()) {
    const at = `resources.storage.disks[${i}]`;
    if (typeof disk['id'] !== 'string' || !/^[A-Za-z0-9!:._-]{1,64}$/.test(disk['id'])) {
      refuse(`${at}.id`, 'a kernel name');
    }
    getNumber(disk['size'], `${at}.size`);
    for (const flag of ['removable', 'read_only'] as const) {
      if (typeof disk[flag] !== 'boolean') refuse(`${at}.${flag}`, 'true or false');
    }
    if (!Array.isArray(disk['partitions'])) refuse(`${at}.partitions`, 'a list');
    for (const [n, partition] of (disk['partitions'] as unknown[]).entries()) {
      const place = `${at}.partitions[${n}]`;
      getNumber(getObject(partition, place)['size'], `${place}.size`);
    }
    for (const key of ['serial', 'wwn', 'model', 'vendor', 'hctl', 'signature', 'device_path', 'device_id']) {
      if (disk[key] !== undefined && typeof disk[key] !== 'string') refuse(`${at}.${key}`, 'a text');
    }
  }
}

function checkPorts(resources: JsonRecord): void {
  for (const [i, card] of itemsOf(resources, 'network', 'cards').entries()) {
    if (!Array.isArray(card['ports'])) refuse(`resources.network.cards[${i}].ports`, 'a list');
  }
}

/** Odd firmware: what is to be a text and is none counts as not known, so that nobody who reads it stumbles. */
function dropOdd(resources: JsonRecord): void {
  const owners = [resources['system'], resources['cpu']].concat(
    lists.flatMap(([part, list]) => [...itemsOf(resources, part, list)]),
  );
  for (const owner of owners as Record<string, unknown>[]) {
    for (const key of texts) if (typeof owner[key] !== 'string') delete owner[key];
  }
  // It is asked for as a text by all who choose machines.
  const cpu = resources['cpu'] as Record<string, unknown>;
  cpu['architecture'] ??= '';
}

const texts = [
  'architecture',
  'class',
  'device',
  'device_id',
  'driver',
  'family',
  'firmware_version',
  'model',
  'name',
  'pci_address',
  'product',
  'product_id',
  'serial',
  'sku',
  'subsystem_id',
  'subvendor',
  'type',
  'usb_address',
  'uuid',
  'vendor',
  'vendor_id',
  'version',
] as const;

function itemsOf(resources: JsonRecord, part: string, list: string): readonly JsonRecord[] {
  return (resources[part] as JsonRecord)[list] as readonly JsonRecord[];
}

function getObject(value: unknown, at: string): JsonRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(at, 'an object');
  return value as JsonRecord;
}

function getNumber(value: unknown, at: string): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) refuse(at, 'a number');
}

function checkDepth(value: unknown, at: string, depth: number): void {
  if (depth > deepest) refuse(at, `less deep than ${deepest}`);
  if (typeof value === 'string' && value.length > longestText)
    refuse(at, `at most ${longestText} characters`);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, item] of Object.entries(value as object)) checkDepth(item, `${at}.${key}`, depth + 1);
}

function refuse(at: string, what: string): never {
  throw new HttpRefusal(400, `${at.slice(0, 200)}: must be ${what}`);
}
