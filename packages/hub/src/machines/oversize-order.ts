import type { MachineOrder, RackOrder } from '@selvedge/api';

/** It rides in the signed policy of its site, and comes back whole when a hub has lost its memory: within 16 MiB of `held`. */
export const rackOrderLimitBytes = 8 * 1024 * 1024;
const namedMachines = 3;

const bytesOf = (order: RackOrder): number => Buffer.byteLength(JSON.stringify(order));

export function isOversize(order: RackOrder): boolean {
  return bytesOf(order) > rackOrderLimitBytes;
}

/**
 * Why the order cannot be sent, and what to do about it.
 * @param present what was sent before.
 */
export function explainOversize(order: RackOrder, present: RackOrder | undefined): string {
  const effect =
    present === undefined
      ? 'nothing of them is sent, and its rack has none so far'
      : 'its rack goes on with the orders that it has, and of what was changed since only hears what makes it do less (protected, broken, consent or acceptance taken back, no erase, a Machine deleted)';
  const largest = order.machines
    .map(({ name, provision }) => ({ name, bytes: textBytes(provision) }))
    .toSorted((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1))
    .slice(0, namedMachines)
    .map((one) => `${one.name} (${Math.ceil(one.bytes / 1024)} KiB)`);
  const mebibytes = (value: number) => (value / 2 ** 20).toFixed(1);
  return (
    `The orders of its ${order.machines.length} Machines have ${mebibytes(bytesOf(order))} MiB, and a site takes ${mebibytes(rackOrderLimitBytes)}: ${effect}. ` +
    'Give user data by spec.provision.userData.secretRef in place of spec.provision.userData.text, or with the MachineImage. ' +
    `Most of it in spec.provision of: ${largest.join(', ')}.`
  );
}

function textBytes(provision: MachineOrder['provision']): number {
  const { userData, networkConfig = '' } = provision ?? {};
  const text = userData !== undefined && 'text' in userData ? userData.text : '';
  return Buffer.byteLength(text) + Buffer.byteLength(networkConfig);
}

/**
 * What is sent while the orders are too large: the present ones, with what keeps the rack from doing things. So nobody's disk is written because a neighbour's user data is too long. A
 * Machine that is gone is left out, as always: its box is left as it is. Pure.
 */
export function restrainedOrder(present: RackOrder | undefined, wanted: RackOrder): RackOrder | undefined {
  if (present === undefined) return undefined;
  const byUid = new Map(wanted.machines.map((machine) => [machine.uid, machine]));
  // It may be longer than the limit by a few bytes for each Machine, which leaves room for twice as much.
  return {
    ...present,
    machines: present.machines.flatMap((machine) => {
      const now = byUid.get(machine.uid);
      return now === undefined ? [] : [restrainedMachine(machine, now)];
    }),
  };
}

function restrainedMachine(present: MachineOrder, wanted: MachineOrder): MachineOrder {
  const { broken, isProtected, isExternal, known } = wanted;
  return {
    ...present,
    accepted: present.accepted && wanted.accepted,
    erase: wanted.erase === 'None' ? 'None' : present.erase,
    wipeConsent: present.wipeConsent && wanted.wipeConsent,
    ...(broken === undefined ? {} : { broken }),
    ...(isProtected === undefined ? {} : { isProtected }),
    ...(isExternal === undefined ? {} : { isExternal }),
    // What runs on it, for a rack that lost its memory.
    ...(known === undefined ? {} : { known }),
  };
}
