import type { MachineOrder } from '@selvedge/api';
import type { BootRequest } from '../boot/machine-desk.ts';
import { meaningfulUuid } from './box-identity.ts';
import { addSeconds, type MachineRecord } from './machine-record.ts';

/** A machine in whose name a box asks. */
export interface ClaimedMachine {
  readonly order?: MachineOrder | undefined;
  readonly record?: MachineRecord | undefined;
}

/** Why a question is not answered as that of the machine, and what the asker is told. */
export interface AskerRefusal {
  readonly told: 'NotFound' | 'Wait';
  /** For the timeline of the machine. */
  readonly message: string;
}

/**
 * Anybody who reaches the boot server can name the MAC address of another's machine, and would get its boot. Undefined: the question may be its own.
 * @param wire MAC addresses that are known at the asker's address; empty: nothing is known of it, it may come through a router or a forwarded port.
 */
export function findAskerRefusal(
  { order, record }: ClaimedMachine,
  asked: { readonly request: BootRequest; readonly wire: readonly string[]; readonly now: string },
): AskerRefusal | undefined {
  const { request, wire, now } = asked;
  if (wire.includes(request.macAddress)) return undefined;
  const [other] = wire;
  if (other !== undefined) {
    const own = [...(order?.identity.macAddresses ?? []), ...(record?.seen.macAddresses ?? [])];
    if (wire.some((macAddress) => own.includes(macAddress))) return undefined;
    const message = `${request.address} asked what to boot as this machine, but has the MAC address ${other}; it was refused`;
    return { told: 'NotFound', message };
  }
  if (meaningfulUuid(order?.identity.uuid) !== undefined && meaningfulUuid(request.uuid) === undefined) {
    const message = `${request.address} asked what to boot as this machine without showing its UUID; it was refused`;
    return { told: 'NotFound', message };
  }
  const session = record?.session;
  const isElsewhere = session !== undefined && session.address !== request.address;
  if (!isElsewhere || addSeconds(record?.lastSeen?.time ?? session.time, aliveSeconds) <= now)
    return undefined;
  const message = `${request.address} asked what to boot as this machine while its inspection system runs at ${session.address}; it was told to wait`;
  return { told: 'Wait', message };
}

/** The inspection system asks for a task every 20 s. */
const aliveSeconds = 60;
