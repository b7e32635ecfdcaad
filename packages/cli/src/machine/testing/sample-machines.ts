import type { Machine, MachineInventory } from '@selvedge/api';

const hour = 3_600_000;
export const sampleNow = new Date('2026-03-01T12:00:00Z');
const ago = (milliseconds: number) => new Date(sampleNow.getTime() - milliseconds).toISOString();

export const sampleInventory: MachineInventory = {
  api_version: '1.0',
  environment: {
    kernel: 'Linux',
    kernel_version: '6.1.0',
    kernel_architecture: 'x86_64',
    os_name: 'Selvedge inspection',
    os_version: '1',
  },
  resources: {
    cpu: {
      architecture: 'x86_64',
      total: 32,
      sockets: [
        { socket: 0, name: 'Intel(R) Xeon(R) Silver 4110', cores: [] },
        { socket: 1, cores: [] },
      ],
    },
    memory: { total: 128 * 2 ** 30 },
    gpu: {
      cards: [
        {
          vendor: 'NVIDIA Corporation',
          product: 'GV100GL',
          driver: 'nvidia',
          nvidia: { model: 'Tesla V100' },
        },
      ],
      total: 1,
    },
    network: {
      cards: [
        {
          vendor: 'Broadcom',
          product: 'NetXtreme',
          ports: [
            {
              id: 'eno1',
              address: '52:54:00:00:00:01',
              port: 0,
              protocol: 'ethernet',
              link_detected: true,
              link_speed: 1000,
            },
            { id: 'eno2', address: '52:54:00:00:00:02', port: 1, protocol: 'ethernet', link_detected: false },
          ],
        },
      ],
      total: 1,
    },
    storage: {
      disks: [
        {
          id: 'sda',
          device: '8:0',
          read_only: false,
          size: 480e9,
          removable: false,
          partitions: [],
          type: 'scsi',
          model: 'SSDSC2KB480G8',
          serial: 'PHYF1',
          signature: 'GPT, ext4',
        },
        {
          id: 'nvme0n1',
          device: '259:0',
          read_only: false,
          size: 2e12,
          removable: false,
          partitions: [],
          type: 'nvme',
          model: 'P4510',
          serial: 'BTLJ2',
        },
      ],
      total: 2,
    },
    usb: { devices: [], total: 0 },
    pci: { devices: [], total: 0 },
    system: { type: 'physical' },
  },
  networks: {},
};

/** A machine at site `berlin` whose rack has spoken a moment ago. */
export function sampleMachine(
  spec: Partial<Machine['spec']> = {},
  status: Partial<NonNullable<Machine['status']>> = {},
): Machine {
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Machine',
    metadata: { name: 'rack-7', generation: 3 },
    spec: {
      siteName: 'berlin',
      identity: { macAddresses: ['52:54:00:00:00:01'], serials: ['4C4XKD3'] },
      bmc: { type: 'Redfish', address: 'https://10.0.0.7', secretRef: { namespace: 'bmc', name: 'rack-7' } },
      ...spec,
    },
    status: {
      phase: 'Available',
      phaseSince: ago(2 * hour),
      operationalStatus: 'OK',
      power: { state: 'Off', observedTime: ago(20_000) },
      seen: {
        manufacturer: 'Dell Inc.',
        product: 'PowerEdge R640',
        serials: ['4C4XKD3'],
        bootMode: 'UEFI',
        architecture: 'amd64',
        address: '10.10.0.107',
        lastBootTime: ago(3 * hour),
      },
      disks: 'Blank',
      inventory: sampleInventory,
      inspectedTime: ago(2 * hour),
      observedGeneration: 3,
      observedTime: ago(5_000),
      timeline: [
        {
          n: 1,
          time: ago(3 * hour),
          type: 'Normal',
          reason: 'BootRequested',
          message: 'it asked what to boot, by UEFI',
        },
        {
          n: 2,
          time: ago(2 * hour),
          type: 'Normal',
          reason: 'PhaseChanged',
          message: 'Inspecting → Available',
        },
      ],
      ...status,
    },
  };
}

/** One that is being written. */
export const writingMachine = sampleMachine(
  { provision: { image: 'debian-12', instanceId: 'one' }, wipeConsent: 'rack-7' },
  {
    phase: 'Provisioning',
    phaseSince: ago(200_000),
    operationalStatus: 'Working',
    power: { state: 'On', observedTime: ago(20_000) },
    progress: { step: 'Writing', done: 1.2 * 2 ** 30, total: 3.5 * 2 ** 30, unit: 'Bytes' },
    waiting: {
      step: 'Writing',
      expected: 'the system writes debian-12 to sda',
      since: ago(90_000),
      until: new Date(sampleNow.getTime() + 840_000).toISOString(),
      lastSeen: { what: 'it said how far it is', time: ago(2_000) },
      next: 'power cycle and boot from the network, attempt 2 of 3',
    },
  },
);

/** One that nobody allowed to be written over. */
export const failedMachine = sampleMachine(
  { provision: { image: 'debian-12', instanceId: 'one' } },
  {
    phase: 'Provisioning',
    operationalStatus: 'Error',
    disks: 'Data',
    error: {
      reason: 'ConsentMissing',
      message: 'sda holds data (GPT, ext4): set spec.wipeConsent to rack-7 if it may be lost',
      since: ago(600_000),
      count: 1,
    },
    waiting: {
      expected: 'a person consents, or wants something else',
      since: ago(600_000),
      next: 'nothing by itself',
    },
  },
);
