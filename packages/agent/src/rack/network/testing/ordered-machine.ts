import type { MachineOrder } from '@selvedge/api';
import { sampleMachine } from '../../life/testing/sample-order.ts';

/** A machine as an order names it that wants nothing but its address. */
export function orderedMachine(uid: string, macAddress: string, address?: string): MachineOrder {
  return sampleMachine({
    name: `box-${uid}`,
    uid,
    identity: { macAddresses: [macAddress] },
    ...(address === undefined ? {} : { address }),
  });
}
