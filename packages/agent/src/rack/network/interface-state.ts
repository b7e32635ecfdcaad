import { createSocket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { formatIpv4 } from './ipv4.ts';
import type { NetworkPlan } from './network-plan.ts';

/** Why nothing can be served on the interface; undefined: it is there with the rack's address. A cable that nobody has plugged in yet is no trouble. */
export async function findTrouble(plan: NetworkPlan): Promise<string | undefined> {
  const device = plan.interface;
  const devices = await readFile('/proc/net/dev', 'utf8').catch(() => undefined);
  const isThere =
    devices === undefined || devices.split('\n').some((line) => line.trim().startsWith(`${device}:`));
  if (!isThere) return `there is no interface ${device} on this machine; correct spec.rack.networks`;
  const address = formatIpv4(plan.address);
  if (await isOwnAddress(address)) return undefined;
  return `interface ${device} does not have the address ${address}; set it (ip address add …) or correct spec.rack.networks`;
}

/**
 * The unique local network (fc00::/7) that the interface has an address in: one that an IPv6 router of somebody else does not announce. From /proc, since Node tells of no interface without a carrier.
 */
export async function findOwnIpv6Network(device: string): Promise<string | undefined> {
  const table = await readFile('/proc/net/if_inet6', 'utf8').catch(() => '');
  for (const line of table.split('\n')) {
    const [digits = '', , prefix, , , name] = line.trim().split(/\s+/);
    if (name !== device || prefix !== '40' || !/^f[cd]/.test(digits)) continue;
    return `${(digits.slice(0, 16).match(/.{4}/g) ?? []).join(':')}::`;
  }
  return undefined;
}

/** Whatever the interface's link is: only an address of this machine can be bound. */
function isOwnAddress(address: string): Promise<boolean> {
  const socket = createSocket('udp4');
  return new Promise((resolve) => {
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind({ port: 0, address, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
