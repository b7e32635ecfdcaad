import { createHash } from 'node:crypto';
import type { MachineOrder } from '@selvedge/api';
import { formatIpv4, parseIpv4 } from './ipv4.ts';
import { isInSubnet, type NetworkPlan } from './network-plan.ts';

export interface Reservation {
  readonly uid: string;
  readonly macAddress: string;
  readonly address: string;
  /** A DNS label that the machine is told; empty: none. */
  readonly hostname: string;
}

export interface AddressPlan {
  readonly reservations: readonly Reservation[];
  /** Wishes that could not be met, for people. */
  readonly problems: readonly string[];
}

/**
 * Which address each machine always gets. From the order alone, so every rack of a site gives the same answers, and a rack that lost its disk the same as before: `spec.address` where
 * it is in this network, else the place in the range that the hash of the MAC address says; who comes later by uid goes on to the next free one.
 */
export function planAddresses(network: NetworkPlan, machines: readonly MachineOrder[]): AddressPlan {
  const plan = new AddressBook(network);
  const sorted = machines
    .filter(({ identity }) => identity.macAddresses?.[0] !== undefined)
    .toSorted((a, b) => (a.uid < b.uid ? -1 : a.uid > b.uid ? 1 : 0));
  // Wishes first: a machine that has none never takes the place of one that has.
  const wishless = sorted.filter((machine) => !plan.takeWish(machine));
  for (const machine of wishless) plan.takeByHash(machine);
  return { reservations: plan.reservations, problems: plan.problems };
}

class AddressBook {
  readonly reservations: Reservation[] = [];
  readonly problems: string[] = [];
  readonly #network: NetworkPlan;
  readonly #taken = new Map<number, string>();
  readonly #macAddresses = new Map<string, string>();

  constructor(network: NetworkPlan) {
    this.#network = network;
    const { address, gateway, dnsServers, ntpServers } = network;
    for (const used of [address, gateway, ...dnsServers, ...ntpServers]) {
      if (used !== undefined) this.#taken.set(used, 'the network itself');
    }
  }

  /** @returns whether the machine needs no other address in this network. */
  takeWish(machine: MachineOrder): boolean {
    const wish = machine.address === undefined ? undefined : parseIpv4(machine.address.split('/')[0] ?? '');
    if (wish === undefined) return false;
    // It is meant for another network.
    if (!isInSubnet(wish, this.#network.subnet)) return false;
    const owner = this.#taken.get(wish);
    if (owner !== undefined) {
      this.problems.push(
        `${machine.name} wants ${formatIpv4(wish)}, which belongs to ${owner}; it gets another`,
      );
      return false;
    }
    this.#take(machine, wish);
    return true;
  }

  takeByHash(machine: MachineOrder): void {
    const { range } = this.#network;
    if (range === undefined) return;
    const size = range.to - range.from + 1;
    const start = hashOf(machine.identity.macAddresses?.[0] ?? '') % size;
    for (let step = 0; step < size; step += 1) {
      const address = range.from + ((start + step) % size);
      if (this.#taken.has(address)) continue;
      this.#take(machine, address);
      return;
    }
    this.problems.push(`no address is left for ${machine.name}; make the range larger`);
  }

  #take(machine: MachineOrder, address: number): void {
    const macAddress = machine.identity.macAddresses?.[0] ?? '';
    const other = this.#macAddresses.get(macAddress);
    if (other !== undefined) {
      this.problems.push(
        `${machine.name} and ${other} have the MAC address ${macAddress}; one of them is wrong`,
      );
      return;
    }
    if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(macAddress)) {
      this.problems.push(`${machine.name} has no well-formed MAC address; set spec.macAddresses`);
      return;
    }
    this.#macAddresses.set(macAddress, machine.name);
    this.#taken.set(address, machine.name);
    const hostname = labelOf(machine.provision?.hostname ?? machine.name);
    this.reservations.push({ uid: machine.uid, macAddress, address: formatIpv4(address), hostname });
  }
}

function hashOf(macAddress: string): number {
  return createHash('sha256').update(macAddress).digest().readUInt32BE(0);
}

/** The first part of a name, as a label that DHCP may carry. None where dnsmasq would read it as a word of its own: "ignore", a lease time. */
function labelOf(name: string): string {
  const [first = ''] = name.toLowerCase().split('.');
  const label = first
    .replaceAll(/[^a-z0-9-]/g, '-')
    .slice(0, 63)
    .replaceAll(/^-+|-+$/g, '');
  return /^(ignore|infinite|set|tag|id|\d+[smhdw]?)$/.test(label) ? '' : label;
}
