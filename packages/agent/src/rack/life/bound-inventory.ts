import type { MachineInventory } from '@selvedge/api';

/** What the hub takes with a report, with room for the rest of it. */
const mostBytes = 180_000;

/** Without its longest lists, where all of it would be too long for the way to the hub. */
export function boundInventory(inventory: MachineInventory): MachineInventory {
  const { resources } = inventory;
  const emptied = (parts: Partial<MachineInventory['resources']>) => ({
    ...inventory,
    resources: { ...resources, ...parts },
  });
  const noUsb = { usb: { devices: [], total: resources.usb.total } };
  const noPci = { ...noUsb, pci: { devices: [], total: resources.pci.total } };
  const noCpu = { ...noPci, cpu: { ...resources.cpu, sockets: [] } };
  const noPorts = { ...noCpu, network: { ...resources.network, cards: [] } };
  const forms = [inventory, emptied(noUsb), emptied(noPci), emptied(noCpu)];
  const fitting = forms.find((form) => Buffer.byteLength(JSON.stringify(form)) <= mostBytes);
  if (fitting !== undefined) return fitting;
  const disks = resources.storage.disks.slice(0, mostDisks);
  return { ...emptied({ ...noPorts, storage: { ...resources.storage, disks } }), networks: {} };
}

const mostDisks = 200;
