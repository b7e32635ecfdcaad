import { isNoSerial, isNoUuid, type MachineIdentity } from '@selvedge/api';
import type { BmcIdentity } from './power-driver.ts';

/**
 * What shows that a BMC belongs to another machine than the one it is to switch; undefined: nothing does. A serial number in common is enough to be the same, and so is
 * the UUID in either order of bytes: firmware and BMC often differ in it.
 */
export function contradictionOf(machine: MachineIdentity, bmc: BmcIdentity): string | undefined {
  const wanted = machine.uuid;
  const told = bmc.uuid?.toLowerCase();
  const { serial } = bmc;
  if (serial !== undefined && machine.serials?.includes(serial) && !isNoSerial(serial)) return undefined;
  if (wanted === undefined || told === undefined || !uuidForm.test(told)) return undefined;
  if (isNoUuid(wanted) || isNoUuid(told) || told === wanted || swapBytes(told) === wanted) return undefined;
  const named = serial === undefined ? '' : `, serial number ${serial}`;
  return `it says UUID ${told}${named}, and this machine has UUID ${wanted}`;
}

const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The first three groups the other way round, as SMBIOS before 2.6 has them. */
function swapBytes(uuid: string): string {
  const [first = '', second = '', third = '', ...rest] = uuid.split('-');
  const swapped = [first, second, third].map((group) => Buffer.from(group, 'hex').reverse().toString('hex'));
  return [...swapped, ...rest].join('-');
}
