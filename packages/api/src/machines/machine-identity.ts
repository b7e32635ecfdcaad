import type { MachineIdentity } from './rack-order.ts';

/** What firmware says in place of a serial number that nobody gave it; compared without case, spaces and punctuation. */
const emptySerials = new Set([
  'tobefilledbyoem',
  'defaultstring',
  'systemserialnumber',
  'chassisserialnumber',
  'baseboardserialnumber',
  'serialnumber',
  'notspecified',
  'notapplicable',
  'notavailable',
  'na',
  'none',
  'null',
  'unknown',
  'oem',
  'invalid',
  'empty',
  'asset',
  '123456789',
  '0123456789',
  '1234567890',
]);

/** Known to stand in thousands of boards alike. */
const sharedUuids = new Set([
  '03000200-0400-0500-0006-000700080009',
  '00020003-0004-0005-0006-000700080009',
  '12345678-1234-5678-90ab-cddeefaabbcc',
]);

/** A text that stands for no serial number: no box is known by it. */
export function isNoSerial(serial: string): boolean {
  const text = serial.toLowerCase().replace(/[^a-z0-9]/g, '');
  return text === '' || emptySerials.has(text) || /^(.)\1*$/.test(text);
}

/** A UUID that stands for none: no box is known by it. */
export function isNoUuid(uuid: string): boolean {
  return sharedUuids.has(uuid) || /^([0f])\1*$/.test(uuid.replaceAll('-', ''));
}

/**
 * What two have in common of what is nobody else's: a UUID or the address of a port. Not a serial number alone, of which there are doubles. `undefined`: nothing.
 */
export function sharedIdentity(a: MachineIdentity, b: MachineIdentity): string | undefined {
  if (a.uuid !== undefined && a.uuid === b.uuid && !isNoUuid(a.uuid)) return `UUID ${a.uuid}`;
  const shared = a.macAddresses?.find((address) => b.macAddresses?.includes(address));
  return shared === undefined ? undefined : `MAC address ${shared}`;
}
