import { readFile } from 'node:fs/promises';

/** MAC addresses that the kernel speaks to at this IPv4 address, through one of these interfaces. Empty: it knows none, or is not Linux. */
export async function readNeighbours(
  address: string,
  devices: readonly string[],
  file = '/proc/net/arp',
): Promise<readonly string[]> {
  const table = await readFile(file, 'utf8').catch(() => '');
  return table.split('\n').flatMap((line) => {
    const [ip, , flags, macAddress = '', , device = ''] = line.trim().split(/\s+/);
    const isKnown = ip === address && devices.includes(device) && (Number(flags) & complete) !== 0;
    return isKnown && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(macAddress) ? [macAddress] : [];
  });
}

/** ATF_COM of Linux: the neighbour has answered. */
const complete = 0x2;
