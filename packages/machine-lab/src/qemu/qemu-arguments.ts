import type { BootMode } from '@selvedge/api';
import type { EmulatedBoot } from '../emulated-machine.ts';

/** A box without its files and cables. */
export interface BoxDescription {
  readonly uuid: string;
  readonly serial: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly firmware: BootMode;
  /** What the firmware tries first when nothing else is asked for. */
  readonly bootOrder: 'DiskFirst' | 'NetworkFirst';
  readonly memoryMebibytes: number;
  readonly cores: number;
  /** What its clock says when it is turned on, as `2001-01-01T00:00:00`; default the truth. */
  readonly clock?: string;
  /** More devices, as of QEMU's `-device`: a graphics card. */
  readonly devices: readonly string[];
}

export interface DiskDescription {
  /** Raw. */
  readonly file: string;
  readonly serial: string;
  readonly bus: 'virtio' | 'nvme' | 'sata';
}

export interface PortDescription {
  readonly macAddress: string;
  /** Of `-netdev`, without its id. */
  readonly netdev: string;
}

export interface QemuParts {
  readonly box: BoxDescription;
  readonly disks: readonly DiskDescription[];
  readonly ports: readonly PortDescription[];
  readonly acceleration: string;
  /** UEFI: program and variables of the firmware. */
  readonly flash?: { readonly code: string; readonly variables: string };
  readonly serialLog: string;
  /** TCP port on this machine's loopback (of the network that QEMU runs on) with the serial console. */
  readonly consolePort?: number;
}

/**
 * The command line of a box that is paused before its first instruction. Its boot order is the one of this start: `defaultBootIndexes` are to be set before it
 * goes on, so that they hold from its next restart.
 */
export function qemuArguments(parts: QemuParts, boot: EmulatedBoot): string[] {
  const { box, disks, ports, flash } = parts;
  const indexes = bootIndexes(parts, boot);
  const isUefi = box.firmware === 'UEFI';
  return [
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    '-S',
    '-machine',
    isUefi ? 'q35' : 'pc,graphics=off',
    '-accel',
    parts.acceleration,
    '-m',
    `${box.memoryMebibytes}`,
    '-smp',
    `${box.cores}`,
    '-uuid',
    box.uuid,
    '-smbios',
    `type=1,${smbios({ ...box, product: box.model })},uuid=${box.uuid}`,
    '-smbios',
    `type=3,${smbios({ serial: box.serial, manufacturer: box.manufacturer })}`,
    '-rtc',
    `base=${box.clock ?? 'utc'}`,
    '-chardev',
    'stdio,id=control,signal=off',
    '-mon',
    'chardev=control,mode=control',
    '-chardev',
    serialChardev(parts),
    '-serial',
    'chardev:serial',
    '-device',
    'virtio-rng-pci',
    ...(flash === undefined
      ? []
      : [
          '-drive',
          `if=pflash,unit=0,format=raw,readonly=on,file=${escapeComma(flash.code)}`,
          '-drive',
          `if=pflash,unit=1,format=raw,cache=unsafe,file=${escapeComma(flash.variables)}`,
        ]),
    ...(isUefi ? uefiNetworkBoot(boot) : []),
    ...disks.flatMap((disk, index) =>
      diskArguments(disk, { index, box, bootIndex: indexes[`disk${index}`] }),
    ),
    ...ports.flatMap(({ netdev, macAddress }, index) => [
      '-netdev',
      withId(netdev, `net${index}`),
      '-device',
      `virtio-net-pci,id=port${index},netdev=net${index},mac=${macAddress},bootindex=${indexes[`port${index}`]}${isUefi ? ',romfile=' : ''}`,
    ]),
    ...box.devices.flatMap((device) => ['-device', device]),
  ];
}

/** Boot index by id of device, from `first` on. */
export function bootIndexes(
  { box, disks, ports }: Pick<QemuParts, 'box' | 'disks' | 'ports'>,
  boot: EmulatedBoot,
  first = 1,
): Readonly<Record<string, number>> {
  const diskIds = disks.map((_, index) => `disk${index}`);
  const portIds = ports.map((_, index) => `port${index}`);
  const isDiskFirst = boot === 'Disk' || (boot === 'Default' && box.bootOrder === 'DiskFirst');
  const order = isDiskFirst ? [...diskIds, ...portIds] : [...portIds, ...diskIds];
  return Object.fromEntries(order.map((id, index) => [id, first + index]));
}

/** OVMF tries all ways of a port in turn: PXE before HTTP, and each also by IPv6, which takes minutes to fail. */
function uefiNetworkBoot(boot: EmulatedBoot): string[] {
  const off = ['IPv6PXESupport', 'IPv6Support', ...(boot === 'HTTP' ? ['IPv4PXESupport'] : [])];
  return off.flatMap((name) => ['-fw_cfg', `name=opt/org.tianocore/${name},string=no`]);
}

function diskArguments(
  disk: DiskDescription,
  { index, box, bootIndex }: { index: number; box: BoxDescription; bootIndex: number | undefined },
): string[] {
  const file = escapeComma(disk.file);
  const drive = `if=none,id=drive${index},file=${file},format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap`;
  const common = `id=disk${index},drive=drive${index},serial=${disk.serial},bootindex=${bootIndex}`;
  const sataBus = box.firmware === 'UEFI' ? `,bus=ide.${index}` : '';
  const device = {
    virtio: `virtio-blk-pci,${common}`,
    nvme: `nvme,${common}`,
    sata: `ide-hd,${common}${sataBus}`,
  }[disk.bus];
  return ['-drive', drive, '-device', device];
}

function serialChardev({ serialLog, consolePort }: QemuParts): string {
  const log = `path=${escapeComma(serialLog)},append=on`;
  if (consolePort === undefined) return `file,id=serial,${log}`;
  return `socket,id=serial,host=127.0.0.1,port=${consolePort},server=on,wait=off,logfile=${escapeComma(serialLog)},logappend=on`;
}

function withId(netdev: string, id: string): string {
  const [type = '', ...rest] = netdev.split(',');
  return [type, `id=${id}`, ...rest].join(',');
}

function smbios(values: { serial: string; manufacturer: string; product?: string }): string {
  return Object.entries({
    manufacturer: values.manufacturer,
    ...(values.product === undefined ? {} : { product: values.product }),
    serial: values.serial,
  })
    .map(([key, value]) => `${key}=${escapeComma(value)}`)
    .join(',');
}

/** QEMU takes a doubled comma for one. */
function escapeComma(text: string): string {
  return text.replaceAll(',', ',,');
}
