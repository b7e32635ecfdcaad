import { createHash } from 'node:crypto';
import type { BootMode, MachineSpec } from '@selvedge/api';

/** A box that `selvedge dev machines` starts; the same for the same site and number, so it is found again by its Machine. */
export interface DevBox {
  readonly name: string;
  readonly uuid: string;
  readonly serial: string;
  readonly macAddress: string;
}

export const devManufacturer = 'Selvedge';
export const devModel = 'Development box';
export const devLabel = 'selvedge.dev/dev-machines';

export function devBoxes(site: string, count: number): DevBox[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `${site}-${index + 1}`;
    const hex = createHash('sha256').update(`selvedge dev machines ${name}`).digest('hex');
    const uuid = [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(12, 15)}`, `8${hex.slice(15, 18)}`];
    const tail = hex.slice(32, 38);
    return {
      name,
      uuid: [...uuid, hex.slice(18, 30)].join('-'),
      serial: `DEV-${hex.slice(38, 46).toUpperCase()}`,
      // The block that QEMU uses by custom.
      macAddress: `52:54:00:${tail.slice(0, 2)}:${tail.slice(2, 4)}:${tail.slice(4, 6)}`,
    };
  });
}

export interface DevBmc {
  readonly url: string;
  readonly secret: { readonly namespace: string; readonly name: string };
}

/** What its Machine says of a box, beside what people want of it. */
export function devMachineSpec(
  box: DevBox,
  { site, bmc, firmware }: { site: string; bmc: DevBmc; firmware: BootMode },
): MachineSpec {
  return {
    siteName: site,
    displayName: `${devModel} ${box.name}`,
    identity: { uuid: box.uuid, serials: [box.serial], macAddresses: [box.macAddress] },
    accepted: true,
    bmc: { type: 'Redfish', address: bmc.url, secretRef: bmc.secret },
    bootMode: firmware,
    inspection: { tests: [] },
  };
}
