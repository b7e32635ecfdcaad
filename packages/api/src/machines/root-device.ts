import type { StorageDisk } from './machine-inventory.ts';
import type { RootDeviceHints } from './rack-order.ts';

/**
 * The disk to install on: of those that fit all hints, are neither removable nor read-only and have at least `diskBytes`, the smallest, then the first by name. A USB
 * disk only when a hint names one: it may be somebody's backup.
 * @returns the disk, or why there is none: `DiskNotFound` no disk fits the hints, `DiskTooSmall` some do but are too small.
 */
export function selectRootDevice(
  disks: readonly StorageDisk[],
  hints: RootDeviceHints,
  diskBytes: number,
):
  | { readonly disk: StorageDisk }
  | { readonly reason: 'DiskNotFound' | 'DiskTooSmall'; readonly message: string } {
  const { minSizeGigabytes: _size, rotational: _kind, ...names } = hints;
  const isNamed = Object.values(names).some((name) => name !== undefined);
  const fitting = disks.filter(
    (disk) => !disk.removable && !disk.read_only && (disk.type !== 'usb' || isNamed) && fits(disk, hints),
  );
  if (fitting.length === 0) {
    const all = disks.map(({ id, size }) => `${id} (${size} bytes)`).join(', ') || 'none';
    const hasUsb = disks.some(({ type }) => type === 'usb');
    const advice =
      hasUsb && !isNamed ? '; a USB disk is taken only when spec.provision.rootDevice names it' : '';
    return { reason: 'DiskNotFound', message: `no disk fits the root device hints; disks: ${all}${advice}` };
  }
  const large = fitting
    .filter(({ size }) => size >= diskBytes)
    .toSorted((a, b) => a.size - b.size || (a.id < b.id ? -1 : 1));
  const [disk] = large;
  if (disk !== undefined) return { disk };
  const sizes = fitting.map(({ id, size }) => `${id} has ${size}`).join(', ');
  return { reason: 'DiskTooSmall', message: `the image needs ${diskBytes} bytes; ${sizes}` };
}

function fits(disk: StorageDisk, hints: RootDeviceHints): boolean {
  const contains = (text: string | undefined, part: string) =>
    text?.toLowerCase().includes(part.toLowerCase()) ?? false;
  const { deviceName, serialNumber, wwn, model, vendor, hctl, minSizeGigabytes, rotational } = hints;
  if (deviceName !== undefined && !namesOf(disk).includes(deviceName)) return false;
  if (serialNumber !== undefined && disk.serial !== serialNumber) return false;
  if (wwn !== undefined && disk.wwn?.toLowerCase() !== wwn.toLowerCase()) return false;
  if (model !== undefined && !contains(disk.model, model)) return false;
  if (vendor !== undefined && !contains(disk.vendor, vendor)) return false;
  if (hctl !== undefined && disk.hctl !== hctl) return false;
  if (minSizeGigabytes !== undefined && disk.size < minSizeGigabytes * 1e9) return false;
  return rotational === undefined || (disk.rpm ?? 0) > 0 === rotational;
}

/** Below /dev: its own name, and the links that udev makes for it. */
function namesOf({ id, device_path, device_id, wwn }: StorageDisk): string[] {
  const links = [
    device_path !== undefined && `by-path/${device_path}`,
    device_id !== undefined && `by-id/${device_id}`,
    wwn !== undefined && `by-id/${id.startsWith('nvme') ? 'nvme' : 'wwn'}-${wwn}`,
  ];
  return [`/dev/${id}`, ...links.filter((link) => link !== false).map((link) => `/dev/disk/${link}`)];
}
