/**
 * What a machine is made of, as its inspection found it. The shape is that of LXD's resources API, which MAAS users know (`machine-resources`); a part that could not be
 * read is absent, never null, and so is what changes from one moment to the next (memory in use, counters of ports). Sizes in bytes, frequencies in MHz, link speeds in Mbit/s.
 */
export interface MachineInventory {
  readonly api_version: '1.0';
  readonly environment: {
    readonly kernel: string;
    readonly kernel_version: string;
    readonly kernel_architecture: string;
    readonly os_name: string;
    readonly os_version: string;
  };
  readonly resources: {
    readonly cpu: {
      readonly architecture: string;
      readonly total: number;
      readonly sockets: readonly CpuSocket[];
    };
    readonly memory: {
      readonly total: number;
      readonly nodes?: readonly { readonly numa_node: number; readonly total: number }[];
    };
    readonly gpu: { readonly cards: readonly GpuCard[]; readonly total: number };
    readonly network: { readonly cards: readonly NetworkCard[]; readonly total: number };
    readonly storage: { readonly disks: readonly StorageDisk[]; readonly total: number };
    readonly usb: { readonly devices: readonly UsbDevice[]; readonly total: number };
    readonly pci: { readonly devices: readonly PciDevice[]; readonly total: number };
    readonly system: SystemResource;
  };
  readonly networks: Readonly<
    Record<
      string,
      {
        readonly addresses: readonly {
          readonly family: string;
          readonly address: string;
          readonly netmask: string;
        }[];
        readonly hwaddr: string;
        readonly mtu: number;
        readonly state: string;
        readonly type: string;
      }
    >
  >;
}

export interface CpuSocket {
  readonly socket: number;
  readonly name?: string;
  readonly vendor?: string;
  readonly frequency?: number;
  readonly frequency_minimum?: number;
  readonly frequency_turbo?: number;
  readonly cache?: readonly { readonly level: number; readonly type: string; readonly size: number }[];
  readonly cores: readonly {
    readonly core: number;
    readonly die?: number;
    readonly threads: readonly {
      readonly id: number;
      readonly thread: number;
      readonly online: boolean;
      readonly numa_node?: number;
    }[];
  }[];
}

/** Virtual functions of a device (single root I/O virtualisation). */
export interface SriovFacts {
  readonly current_vfs: number;
  readonly maximum_vfs: number;
}

export interface PciFacts {
  readonly driver?: string;
  readonly driver_version?: string;
  readonly numa_node?: number;
  readonly pci_address?: string;
  readonly vendor?: string;
  readonly vendor_id?: string;
  readonly product?: string;
  readonly product_id?: string;
}

export interface GpuCard extends PciFacts {
  readonly sriov?: SriovFacts;
  readonly nvidia?: { readonly model?: string; readonly uuid?: string };
}

export interface NetworkCard extends PciFacts {
  /** `bus:device`. */
  readonly usb_address?: string;
  readonly sriov?: SriovFacts;
  readonly ports: readonly {
    readonly id: string;
    readonly address?: string;
    readonly port: number;
    readonly protocol: string;
    readonly link_detected: boolean;
    readonly link_speed?: number;
    readonly link_duplex?: string;
  }[];
}

export interface StorageDisk {
  /** Kernel name: `sda`, `nvme0n1`. */
  readonly id: string;
  /** `major:minor`. */
  readonly device: string;
  readonly model?: string;
  /** Ours, not LXD's, as is `hctl`. */
  readonly vendor?: string;
  readonly hctl?: string;
  /** `scsi`, `nvme`, `virtio`, `mmc`… */
  readonly type?: string;
  readonly read_only: boolean;
  readonly size: number;
  readonly removable: boolean;
  readonly wwn?: string;
  readonly numa_node?: number;
  readonly device_path?: string;
  readonly block_size?: number;
  readonly firmware_version?: string;
  readonly rpm?: number;
  readonly serial?: string;
  readonly device_id?: string;
  readonly partitions: readonly {
    readonly id: string;
    readonly device: string;
    readonly read_only: boolean;
    readonly size: number;
    readonly partition: number;
  }[];
  readonly pci_address?: string;
  /** `bus:device`. */
  readonly usb_address?: string;
  /** What the first and last MiB show: absent = nothing that looks like data, `unreadable` = nobody knows, so it counts as data. Ours, not LXD's. */
  readonly signature?: string;
}

export interface PciDevice extends PciFacts {
  readonly iommu_group?: number;
  /** Class code as six hexadecimal digits: `030000`. Ours, not LXD's. */
  readonly class?: string;
}

export interface UsbDevice {
  readonly bus_address: number;
  readonly device_address: number;
  readonly product?: string;
  readonly product_id?: string;
  readonly vendor?: string;
  readonly vendor_id?: string;
  readonly speed?: number;
}

export interface SystemResource {
  readonly uuid?: string;
  readonly vendor?: string;
  readonly product?: string;
  readonly family?: string;
  readonly version?: string;
  readonly sku?: string;
  readonly serial?: string;
  readonly type: 'physical' | 'virtual-machine' | 'container' | '';
  /** Firmware runs as UEFI. Ours, not LXD's. */
  readonly efi?: boolean;
  readonly firmware?: { readonly vendor?: string; readonly date?: string; readonly version?: string };
  readonly chassis?: {
    readonly vendor?: string;
    readonly type?: string;
    readonly serial?: string;
    readonly version?: string;
  };
  readonly motherboard?: {
    readonly vendor?: string;
    readonly product?: string;
    readonly serial?: string;
    readonly version?: string;
  };
}
