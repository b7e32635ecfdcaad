import { isIPv4 } from 'node:net';
import { type FieldError, fieldDuplicate, fieldInvalid, fieldRequired, type RackSpec } from '@selvedge/api';
import { validateDuration } from './validate-strategy.ts';

type Network = RackSpec['networks'][number];

/** `Site.spec.rack`: addresses that fit together. */
export function validateRack(rack: RackSpec | undefined, path: string): FieldError[] {
  if (rack === undefined) return [];
  const errors: FieldError[] = [];
  const interfaces = new Set<string>();
  const taken: { readonly name: string; readonly prefix: Prefix }[] = [];
  for (const [index, network] of rack.networks.entries()) {
    const at = `${path}.networks[${index}]`;
    if (interfaces.has(network.interface)) {
      errors.push(fieldDuplicate(`${at}.interface`, network.interface, 'one network for each interface'));
    }
    interfaces.add(network.interface);
    errors.push(...validateDuration(network.leaseTime, `${at}.leaseTime`));
    for (const list of ['dnsServers', 'ntpServers'] as const) {
      for (const [i, server] of (network[list] ?? []).entries()) {
        if (!isIPv4(server))
          errors.push(fieldInvalid(`${at}.${list}[${i}]`, server, 'must be an IPv4 address'));
      }
    }
    const prefix = parsePrefix(network.address);
    if (prefix === undefined) {
      const rule = 'must be an IPv4 address with the length of its prefix (8 to 30), as in 10.10.0.1/24';
      errors.push(fieldInvalid(`${at}.address`, network.address, rule));
      continue;
    }
    const other = taken.find((one) => overlap(one.prefix, prefix));
    if (other !== undefined) {
      errors.push(fieldInvalid(`${at}.address`, network.address, `overlaps with network "${other.name}"`));
    }
    taken.push({ name: network.name, prefix });
    errors.push(...validateAddresses(network, prefix, at));
  }
  return errors;
}

interface Prefix {
  /** Of the rack. */
  readonly own: number;
  readonly first: number;
  readonly last: number;
}

function parsePrefix(text: string): Prefix | undefined {
  const [address = '', length = '', ...rest] = text.split('/');
  const bits = Number(length);
  if (rest.length > 0 || !isIPv4(address) || !/^\d{1,2}$/.test(length) || bits < 8 || bits > 30) {
    return undefined;
  }
  const size = 2 ** (32 - bits);
  const own = numberOf(address);
  const first = Math.floor(own / size) * size;
  const last = first + size - 1;
  return own === first || own === last ? undefined : { own, first, last };
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

const overlap = (a: Prefix, b: Prefix): boolean => a.first <= b.last && b.first <= a.last;

function validateAddresses(network: Network, prefix: Prefix, path: string): FieldError[] {
  const { dhcp = 'Own', range, gateway } = network;
  const errors: FieldError[] = [];
  const isInside = (address: string) =>
    isIPv4(address) && numberOf(address) > prefix.first && numberOf(address) < prefix.last;
  const checkInside = (address: string, field: string) => {
    if (isInside(address)) return;
    errors.push(fieldInvalid(`${path}.${field}`, address, `must be an IPv4 address of ${network.address}`));
  };
  if (gateway !== undefined) checkInside(gateway, 'gateway');
  if (range === undefined) {
    if (dhcp === 'Own') errors.push(fieldRequired(`${path}.range`, 'with dhcp Own: addresses to give'));
    return errors;
  }
  checkInside(range.from, 'range.from');
  checkInside(range.to, 'range.to');
  if (errors.length > 0) return errors;
  const [from, to] = [numberOf(range.from), numberOf(range.to)];
  if (from > to) errors.push(fieldInvalid(`${path}.range.to`, range.to, `must not be below ${range.from}`));
  const isTaken = (address: number) => address >= from && address <= to;
  if (isTaken(prefix.own)) {
    errors.push(fieldInvalid(`${path}.range`, `${range.from}-${range.to}`, 'holds the address of the rack'));
  }
  if (gateway !== undefined && isTaken(numberOf(gateway))) {
    errors.push(
      fieldInvalid(`${path}.range`, `${range.from}-${range.to}`, 'holds the address of the gateway'),
    );
  }
  return errors;
}
