import type { Machine, MachineInventory } from '@selvedge/api';

/** A server of two sockets with 64 cores, 8 disks, 4 network ports and a hundred PCI devices: about 60 KB. */
export function sampleInventory(n: number): MachineInventory {
  const sockets = [0, 1].map((socket) => ({
    socket,
    name: 'Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz',
    vendor: 'GenuineIntel',
    frequency: 2000,
    cores: Array.from({ length: 32 }, (_, core) => ({
      core,
      threads: [0, 1].map((thread) => ({ id: socket * 64 + core * 2 + thread, thread, online: true })),
    })),
  }));
  const devices = Array.from({ length: 100 }, (_, i) => ({
    driver: i % 3 === 0 ? 'pcieport' : 'skx_uncore',
    driver_version: '6.1.0-28-amd64',
    numa_node: i % 2,
    pci_address: `0000:${hex(i >> 3)}:${hex(i & 7)}.0`,
    vendor: 'Intel Corporation',
    vendor_id: '8086',
    product: `Ice Lake performance monitoring unit ${i % 30}`,
    product_id: `34${hex(i % 30)}`,
    class: '088000',
    iommu_group: i,
  }));
  const disks = Array.from({ length: 8 }, (_, i) => ({
    id: `nvme${i}n1`,
    device: `259:${i}`,
    model: 'SAMSUNG MZQL21T9HCJR-00A07',
    type: 'nvme',
    read_only: false,
    size: 1_920_383_410_176,
    removable: false,
    wwn: `eui.36344630526${n}${i}`,
    numa_node: i % 2,
    device_path: `pci-0000:${hex(i)}:00.0-nvme-1`,
    block_size: 512,
    firmware_version: 'GDC5602Q',
    rpm: 0,
    serial: `S64FNE0R${n}${i}`,
    device_id: `nvme-SAMSUNG_MZQL21T9HCJR-00A07_S64FNE0R${n}${i}`,
    partitions: [1, 2, 3].map((partition) => ({
      id: `nvme${i}n1p${partition}`,
      device: `259:${8 + i * 3 + partition}`,
      read_only: false,
      size: 536_870_912,
      partition,
    })),
  }));
  const cards = [0, 1].map((card) => ({
    driver: 'ice',
    pci_address: `0000:${hex(0x40 + card)}:00.0`,
    vendor: 'Intel Corporation',
    product: 'Ethernet Controller E810-XXV for SFP',
    firmware_version: '3.20 0x8000d83e 1.3146.0',
    ports: [0, 1].map((port) => ({
      id: `ens${card}f${port}`,
      address: macAddress(n, card * 2 + port),
      port,
      protocol: 'ethernet',
      link_detected: true,
      link_speed: 25_000,
      link_duplex: 'full',
    })),
  }));
  return {
    api_version: '1.0',
    environment: {
      kernel: 'Linux',
      kernel_version: '6.1.0-28-amd64',
      kernel_architecture: 'x86_64',
      os_name: 'Selvedge inspection',
      os_version: '1',
    },
    resources: {
      cpu: { architecture: 'x86_64', total: 128, sockets },
      memory: { total: 549_755_813_888, nodes: [0, 1].map((node) => ({ numa_node: node, total: 2 ** 38 })) },
      gpu: { cards: [], total: 0 },
      network: { cards, total: cards.length },
      storage: { disks, total: disks.length },
      usb: { devices: [], total: 0 },
      pci: { devices: [...devices, ...padding], total: devices.length + padding.length },
      system: { type: 'physical', vendor: 'Dell Inc.', product: 'PowerEdge R650', serial: `SN${n}` },
    },
    networks: {},
  };
}

/** Memory controllers and bridges: what most of such an inventory is. */
const padding = Array.from({ length: 100 }, (_, i) => ({
  driver: 'i10nm_edac',
  numa_node: i % 2,
  pci_address: `0001:${hex(i >> 3)}:${hex(i & 7)}.1`,
  vendor: 'Intel Corporation',
  vendor_id: '8086',
  product: 'Sky Lake-E Integrated Memory Controller Registers',
  product_id: `20${hex(i % 64)}`,
  class: '088000',
  iommu_group: 200 + i,
}));

export function sampleMachine(n: number, siteName: string): Machine {
  return {
    apiVersion: 'selvedge.dev/v1alpha1',
    kind: 'Machine',
    metadata: { name: `m${n}` },
    spec: { siteName, identity: { macAddresses: [macAddress(n, 0)] } },
  };
}

function macAddress(n: number, port: number): string {
  return ['52', hex(port), hex(n >> 24), hex(n >> 16), hex(n >> 8), hex(n)].join(':');
}

function hex(value: number): string {
  return (value & 0xff).toString(16).padStart(2, '0');
}
