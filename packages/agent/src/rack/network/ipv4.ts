import { isIPv4 } from 'node:net';

/** An IPv4 address as a number. Undefined: it is none. */
export function parseIpv4(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  return text.split('.').reduce((value, part) => value * 256 + Number(part), 0);
}

export function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

export interface Ipv4Subnet {
  readonly network: number;
  readonly broadcast: number;
  readonly netmask: string;
}

export function subnetOf(address: number, prefix: number): Ipv4Subnet {
  const size = 2 ** (32 - prefix);
  const network = Math.floor(address / size) * size;
  return { network, broadcast: network + size - 1, netmask: formatIpv4(2 ** 32 - size) };
}
