import { isNoSerial, isNoUuid, type MachineIdentity, type MachineOrder } from '@selvedge/api';
import type { MachineRecord } from './machine-record.ts';

/** What a box shows of itself; everything in it may be a lie. */
export interface BoxSigns {
  /** The port that it asks from, first. */
  readonly macAddresses: readonly string[];
  readonly uuid?: string | undefined;
  readonly serial?: string | undefined;
}

/** Lower case with dashes; undefined for what many boxes have alike. */
export function meaningfulUuid(text: string | undefined): string | undefined {
  const uuid = text?.trim().toLowerCase();
  if (uuid === undefined || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) return undefined;
  return isNoUuid(uuid) ? undefined : uuid;
}

function meaningfulSerial(text: string | undefined): string | undefined {
  const serial = text?.trim();
  return serial === undefined || serial.length > 100 || isNoSerial(serial) ? undefined : serial;
}

/** Lower case with colons; undefined for what is no address of one port. */
export function meaningfulMac(text: string): string | undefined {
  const mac = text.trim().toLowerCase().replaceAll('-', ':');
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) return undefined;
  const isGroup = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
  return isGroup || mac === '00:00:00:00:00:00' ? undefined : mac;
}

export function cleanSigns(signs: BoxSigns): BoxSigns {
  const macAddresses = [...new Set(signs.macAddresses.flatMap((mac) => meaningfulMac(mac) ?? []))];
  return { macAddresses, uuid: meaningfulUuid(signs.uuid), serial: meaningfulSerial(signs.serial) };
}

export type Match =
  | { readonly kind: 'None' }
  | { readonly kind: 'One'; readonly uid: string }
  /** The box fits several machines, or what it shows contradicts the one that it fits. */
  | { readonly kind: 'Conflict'; readonly uids: readonly string[]; readonly message: string };

/** Which of the wanted machines the box is. Any MAC address or the UUID is enough; a serial number only when no other has it. */
export function matchOrders(orders: readonly MachineOrder[], signs: BoxSigns): Match {
  const strong = orders.filter(({ identity }) => fitsStrongly(identity, signs));
  if (strong.length > 1) {
    const names = strong.map(({ name }) => name).join(' and ');
    const message = `one box (${describeSigns(signs)}) fits several machines: ${names}; correct spec.identity of them`;
    return { kind: 'Conflict', uids: strong.map(({ uid }) => uid), message };
  }
  const [one] = strong;
  if (one !== undefined) {
    const message = findContradiction(one.identity, signs);
    if (message === undefined) return { kind: 'One', uid: one.uid };
    return { kind: 'Conflict', uids: [one.uid], message: `${message}; correct spec.identity of ${one.name}` };
  }
  if (signs.serial === undefined) return { kind: 'None' };
  const { serial } = signs;
  const bySerial = orders.filter(({ identity }) => identity.serials?.includes(serial));
  const [only] = bySerial;
  const isKnownOtherwise = only !== undefined && (only.identity.uuid !== undefined || hasMacs(only.identity));
  if (only === undefined || bySerial.length > 1 || isKnownOtherwise) return { kind: 'None' };
  return { kind: 'One', uid: only.uid };
}

function hasMacs({ macAddresses = [] }: MachineIdentity): boolean {
  return macAddresses.length > 0;
}

function fitsStrongly({ uuid, macAddresses = [] }: MachineIdentity, signs: BoxSigns): boolean {
  const isUuid = signs.uuid !== undefined && meaningfulUuid(uuid) === signs.uuid;
  return isUuid || signs.macAddresses.some((mac) => macAddresses.includes(mac));
}

/** The order says one UUID, the box with its MAC address another. */
function findContradiction(identity: MachineIdentity, signs: BoxSigns): string | undefined {
  const uuid = meaningfulUuid(identity.uuid);
  if (uuid === undefined || signs.uuid === undefined || uuid === signs.uuid) return undefined;
  return `a box with its MAC address shows another UUID: ${signs.uuid}, not ${uuid}`;
}

/** What a box shows is not what was seen of this machine before: two boxes with one identity. Undefined: it may be the same. */
export function findImpostor(
  record: MachineRecord,
  identity: MachineIdentity | undefined,
  signs: BoxSigns,
): string | undefined {
  const { seen } = record;
  const [mac] = signs.macAddresses;
  const isNamed = signs.uuid !== undefined && meaningfulUuid(identity?.uuid) === signs.uuid;
  const isOtherUuid = seen.uuid !== undefined && signs.uuid !== undefined && seen.uuid !== signs.uuid;
  if (isOtherUuid && !isNamed) {
    return `two boxes have the MAC address ${mac ?? ''}: one with UUID ${seen.uuid}, one with ${signs.uuid}; take one off the network, or name the right one in spec.identity.uuid`;
  }
  const known = seen.macAddresses ?? [];
  const isOtherSerial =
    signs.serial !== undefined && seen.serials !== undefined && !seen.serials.includes(signs.serial);
  const isKnownPort =
    mac === undefined || known.includes(mac) || identity?.macAddresses?.includes(mac) === true;
  if (isKnownPort || known.length === 0 || !isOtherSerial || isNamedSerial(identity, signs)) return undefined;
  return `two boxes show the UUID ${signs.uuid ?? ''}: one with the MAC address ${known[0] ?? ''}, one with ${mac} and serial number ${signs.serial}; name the ports of each in spec.identity.macAddresses`;
}

/** The inspection system shows all ports of a box: none of those that the machine had is another box with its UUID. */
export function findOtherPorts(
  { ports = [] }: MachineRecord,
  identity: MachineIdentity | undefined,
  signs: BoxSigns,
): string | undefined {
  const own = [...ports, ...(identity?.macAddresses ?? [])];
  if (ports.length === 0 || signs.macAddresses.some((mac) => own.includes(mac))) return undefined;
  return `two boxes show the UUID ${signs.uuid ?? ''}: one with the MAC address ${ports[0] ?? ''}, one with ${signs.macAddresses[0] ?? ''}; name the ports of each in spec.identity.macAddresses`;
}

function isNamedSerial(identity: MachineIdentity | undefined, { serial }: BoxSigns): boolean {
  return serial !== undefined && identity?.serials?.includes(serial) === true;
}

/** The record of a box that nobody wants, by what it showed before. */
export function findKnownBox(records: Iterable<MachineRecord>, signs: BoxSigns): MachineRecord | undefined {
  let byUuid: MachineRecord | undefined;
  for (const record of records) {
    if (record.seen.macAddresses?.some((mac) => signs.macAddresses.includes(mac)) === true) return record;
    const isSameUuid = signs.uuid !== undefined && record.seen.uuid === signs.uuid;
    const isSameSerial = signs.serial === undefined || record.seen.serials?.includes(signs.serial) !== false;
    if (isSameUuid && isSameSerial) byUuid ??= record;
  }
  return byUuid;
}

function describeSigns({ macAddresses, uuid, serial }: BoxSigns): string {
  const parts = [macAddresses[0], uuid && `UUID ${uuid}`, serial && `serial number ${serial}`];
  return parts.filter(Boolean).join(', ');
}

/** With what the box shows now. */
export function withSigns(record: MachineRecord, signs: BoxSigns): MachineRecord {
  const { seen } = record;
  const macs = [...new Set([...signs.macAddresses, ...(seen.macAddresses ?? [])])].slice(0, 32);
  const serials = [
    ...new Set([...(signs.serial === undefined ? [] : [signs.serial]), ...(seen.serials ?? [])]),
  ];
  return {
    ...record,
    seen: {
      ...seen,
      ...(signs.uuid === undefined ? {} : { uuid: signs.uuid }),
      ...(serials.length === 0 ? {} : { serials: serials.slice(0, 10) }),
      ...(macs.length === 0 ? {} : { macAddresses: macs }),
    },
  };
}
