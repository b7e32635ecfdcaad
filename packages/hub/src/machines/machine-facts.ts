import type {
  KubeObject,
  Machine,
  MachineInventory,
  MachineStatus,
  PciDevice,
  StorageDisk,
} from '@selvedge/api';

/** Of a Machine what controllers decide by: without what is large, which they read from the API where they need it. */
export interface MachineFacts extends KubeObject {
  readonly apiVersion: Machine['apiVersion'];
  readonly kind: Machine['kind'];
  readonly metadata: Machine['metadata'];
  readonly spec: Machine['spec'];
  readonly status?: Omit<MachineStatus, 'inventory' | 'results' | 'timeline' | 'progress'>;
  /** Of `status.inventory`. */
  readonly hardware: MachineHardware | 'NotInspected' | 'Unreadable';
}

/** What claims ask for. */
export interface MachineHardware {
  readonly architecture: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Without partitions. */
  readonly disks: readonly StorageDisk[];
  /** `gpu.cards`. */
  readonly graphics: readonly DeviceFacts[];
  /** `pci.devices`. */
  readonly devices: readonly DeviceFacts[];
}

/** What tells one accelerator from another. */
export type DeviceFacts = Pick<
  PciDevice,
  'pci_address' | 'class' | 'vendor' | 'vendor_id' | 'product' | 'product_id'
>;

export function machineFacts({ apiVersion, kind, metadata, spec, status = {} }: Machine): MachineFacts {
  const { managedFields: _fields, ...kept } = metadata;
  const { inventory, results: _results, timeline: _timeline, progress: _progress, ...rest } = status;
  const hardware = inventory === undefined ? 'NotInspected' : hardwareOf(inventory);
  return { apiVersion, kind, metadata: kept, spec, status: rest, hardware };
}

/** What one box says of itself must not keep the others from being known. */
function hardwareOf({ resources }: MachineInventory): MachineFacts['hardware'] {
  try {
    const { cpu, memory, storage, gpu, pci } = resources;
    return {
      architecture: cpu.architecture,
      cores: cpu.total,
      memoryBytes: memory.total,
      disks: storage.disks.map((disk) => ({ ...disk, partitions: [] })),
      graphics: gpu.cards.map(shared),
      devices: pci.devices.map(shared),
    };
  } catch {
    return 'Unreadable';
  }
}

const maxShared = 20_000;
/** Machines of one model have the same devices at the same places. */
const sharedDevices = new Map<string, DeviceFacts>();

function shared(device: DeviceFacts): DeviceFacts {
  const { pci_address, class: deviceClass, vendor, vendor_id, product, product_id } = device;
  const text = JSON.stringify([pci_address, deviceClass, vendor, vendor_id, product, product_id]);
  const known = sharedDevices.get(text);
  if (known !== undefined) return known;
  if (sharedDevices.size >= maxShared) sharedDevices.clear();
  const facts: DeviceFacts = {
    ...(pci_address === undefined ? {} : { pci_address }),
    ...(deviceClass === undefined ? {} : { class: deviceClass }),
    ...(vendor === undefined ? {} : { vendor }),
    ...(vendor_id === undefined ? {} : { vendor_id }),
    ...(product === undefined ? {} : { product }),
    ...(product_id === undefined ? {} : { product_id }),
  };
  sharedDevices.set(text, facts);
  return facts;
}
