import type { Machine, MachineInventory, MachineReport, MachineSpec, RackSpec } from '@selvedge/api';

export const observedTime = '2026-01-01T00:00:00.000Z';
export const macAddress = '52:54:00:00:00:01';

export const rackSpec: RackSpec = {
  networks: [
    {
      name: 'lab',
      interface: 'eth1',
      address: '10.10.0.1/24',
      range: { from: '10.10.0.100', to: '10.10.0.200' },
    },
  ],
};

/** A Machine of site `berlin`. */
export function machineWith(name: string, spec: Partial<MachineSpec> = {}): Machine {
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Machine',
    metadata: { name },
    spec: { siteName: 'berlin', identity: { macAddresses: [macAddress] }, ...spec },
  };
}

/** What a rack says of a box that has just shown itself. */
export function reportOf(key: string, seq: number, over: Partial<MachineReport> = {}): MachineReport {
  return {
    key,
    seq,
    phase: 'New',
    phaseSince: observedTime,
    status: 'OK',
    power: { state: 'Unknown', observedTime },
    seen: { macAddresses: [macAddress], product: 'Box', lastBootTime: observedTime },
    observedTime,
    ...over,
  };
}

/** Of a small virtual machine. */
export function inventoryWith(over: Partial<MachineInventory['resources']> = {}): MachineInventory {
  return {
    api_version: '1.0',
    environment: {
      kernel: 'Linux',
      kernel_version: '6.1.0',
      kernel_architecture: 'x86_64',
      os_name: 'Selvedge inspection',
      os_version: '1',
    },
    resources: {
      cpu: { architecture: 'x86_64', total: 2, sockets: [] },
      memory: { total: 268_435_456 },
      gpu: { cards: [], total: 0 },
      network: { cards: [], total: 0 },
      storage: {
        disks: [
          {
            id: 'vda',
            device: '254:0',
            read_only: false,
            size: 2_147_483_648,
            removable: false,
            partitions: [],
          },
        ],
        total: 1,
      },
      usb: { devices: [], total: 0 },
      pci: { devices: [], total: 0 },
      system: { type: 'virtual-machine' },
      ...over,
    },
    networks: {},
  };
}
