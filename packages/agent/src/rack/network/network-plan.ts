import type { RackNetwork } from '@selvedge/api';
import { type Ipv4Subnet, parseIpv4, subnetOf } from './ipv4.ts';

/** A network as ordered, with its addresses understood: nothing in it can be read as anything else. */
export interface NetworkPlan {
  readonly name: string;
  readonly interface: string;
  readonly dhcp: RackNetwork['dhcp'];
  /** Of the rack. */
  readonly address: number;
  readonly subnet: Ipv4Subnet;
  readonly range?: { readonly from: number; readonly to: number };
  readonly gateway?: number;
  readonly dnsServers: readonly number[];
  readonly ntpServers: readonly number[];
  readonly leaseSeconds: number;
}

/** What is wrong with a network, and what to do. */
export class NetworkProblem extends Error {
  override readonly name = 'NetworkProblem';
}

export function planNetwork(network: RackNetwork): NetworkPlan {
  const { name, interface: device, dhcp } = network;
  if (!/^[A-Za-z0-9._-]{1,15}$/.test(device))
    fail(`interface ${JSON.stringify(device)} is no name of an interface`);
  const [, addressText = '', prefixText] = /^(.+)\/(\d{1,2})$/.exec(network.address) ?? [];
  const prefix = Number(prefixText);
  if (parseIpv4(addressText) === undefined || !(prefix >= 8 && prefix <= 30)) {
    fail(`address ${network.address} must be an IPv4 address with its prefix, 8 to 30: 10.10.0.1/24`);
  }
  const address = getIpv4(addressText, 'address');
  const subnet = subnetOf(address, prefix);
  if (address === subnet.network || address === subnet.broadcast)
    fail(`${addressText} is no address of a host`);
  return {
    name,
    interface: device,
    dhcp,
    address,
    subnet,
    ...(network.range === undefined ? {} : { range: planRange(network.range, subnet) }),
    ...(network.gateway === undefined ? {} : { gateway: getIpv4(network.gateway, 'gateway') }),
    dnsServers: (network.dnsServers ?? []).map((text) => getIpv4(text, 'dnsServers')),
    ntpServers: (network.ntpServers ?? []).map((text) => getIpv4(text, 'ntpServers')),
    leaseSeconds: Math.min(
      Math.max(shortestLease, Math.round(network.leaseSeconds ?? usualLease)),
      longestLease,
    ),
  };
}

export function isInSubnet(address: number, { network, broadcast }: Ipv4Subnet): boolean {
  return address > network && address < broadcast;
}

/** dnsmasq gives none shorter. */
const shortestLease = 120;
const usualLease = 600;
const longestLease = 30 * 86_400;

function planRange(range: { from: string; to: string }, subnet: Ipv4Subnet): { from: number; to: number } {
  const from = getIpv4(range.from, 'range.from');
  const to = getIpv4(range.to, 'range.to');
  if (from > to) fail(`range: ${range.from} comes after ${range.to}`);
  if (!isInSubnet(from, subnet) || !isInSubnet(to, subnet)) {
    fail(`range ${range.from} to ${range.to} must lie within the network of the rack's address`);
  }
  return { from, to };
}

function getIpv4(text: string, field: string): number {
  return parseIpv4(text) ?? fail(`${field}: ${JSON.stringify(text)} is no IPv4 address`);
}

function fail(message: string): never {
  throw new NetworkProblem(message);
}
