import type { MachineInventory, MachineOrder, RackOrder, StorageDisk } from '@selvedge/api';

export const sampleMac = '52:54:00:00:00:01';
export const sampleUuid = '4c4c4544-0035-5310-8052-b4c04f4a3332';

export function sampleMachine(parts: Partial<MachineOrder> = {}): MachineOrder {
  return {
    name: 'm1',
    uid: '00000000-0000-4000-8000-000000000001',
    generation: 1,
    identity: { macAddresses: [sampleMac] },
    accepted: true,
    allocated: false,
    erase: 'None',
    wipeConsent: false,
    inspection: { tests: [] },
    requests: {},
    ...parts,
  };
}

export function sampleRack(parts: Partial<RackOrder> = {}): RackOrder {
  return {
    discovery: 'Record',
    networks: [],
    inspection: [],
    images: [],
    scripts: [],
    machines: [],
    ...parts,
  };
}

/** @param signature what is on it; absent: nothing. */
export function sampleDisk(
  disk: { id?: string; signature?: string | undefined; size?: number; serial?: string | undefined } = {},
): StorageDisk {
  const { id = 'sda', signature, size = 10_000_000_000, serial } = disk;
  return {
    id,
    device: '8:0',
    read_only: false,
    size,
    removable: false,
    partitions: [],
    ...(serial === undefined ? {} : { serial }),
    ...(signature === undefined ? {} : { signature }),
  };
}

/** Of a box with one disk, or with these. */
export function sampleInventory(
  disk: {
    signature?: string | undefined;
    size?: number;
    serial?: string;
    disks?: readonly StorageDisk[] | undefined;
  } = {},
): MachineInventory {
  const { disks = [sampleDisk({ serial: 'DISK1', ...disk })] } = disk;
  return {
    api_version: '1.0',
    environment: {
      kernel: 'Linux',
      kernel_version: '6.1',
      kernel_architecture: 'x86_64',
      os_name: 'selvedge',
      os_version: '1',
    },
    resources: {
      cpu: { architecture: 'x86_64', total: 4, sockets: [] },
      memory: { total: 8_000_000_000 },
      gpu: { cards: [], total: 0 },
      network: { cards: [], total: 0 },
      storage: { total: disks.length, disks },
      usb: { devices: [], total: 0 },
      pci: { devices: [], total: 0 },
      system: { type: 'physical', product: 'Box', vendor: 'Maker' },
    },
    networks: {},
  };
}
