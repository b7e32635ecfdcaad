import type { BootMode } from '@selvedge/api';
import type { BootSetting } from '../power-driver.ts';

/** Boot parameter 5 of IPMI 2.0 (table 28-14), as far as we use it. */
export interface BootFlags {
  /** false: the BMC does not keep the flags, or they ran out; only the device counts. */
  readonly isValid: boolean;
  readonly isOnce: boolean;
  readonly mode: BootMode;
  readonly device: 'None' | 'Network' | 'Disk' | 'Other';
}

const valid = 0x80;
const persistent = 0x40;
const efi = 0x20;
const devices = { None: 0x00, Network: 0x04, Disk: 0x08 } as const;

/** From `chassis bootparam get 5`; undefined: it does not say. */
export function parseBootFlags(output: string): BootFlags | undefined {
  const data = /Boot parameter data:\s*([0-9a-f]{4,})/i.exec(output)?.[1];
  if (data === undefined) return undefined;
  const [first = 0, second = 0] = Buffer.from(data.slice(0, 4), 'hex');
  const device = second & 0x3c;
  return {
    isValid: (first & valid) !== 0,
    isOnce: (first & persistent) === 0,
    mode: (first & efi) === 0 ? 'BIOS' : 'UEFI',
    device:
      device === devices.None
        ? 'None'
        : device === devices.Network
          ? 'Network'
          : device === devices.Disk
            ? 'Disk'
            : 'Other',
  };
}

export function isHonoured(flags: BootFlags, { target, mode, isOnce }: BootSetting): boolean {
  if (flags.device !== target) return false;
  if (!flags.isValid) return true;
  return flags.isOnce === isOnce && (mode === undefined || flags.mode === mode);
}

/** IPMI cannot leave the mode open. Where it is not known the two are asked for in turn: the rack asks for one boot first, and for all boots when nothing came of it. */
function modeOf({ mode, isOnce }: BootSetting): BootMode {
  return mode ?? (isOnce ? 'BIOS' : 'UEFI');
}

/** Arguments of ipmitool that ask for it, the plain way. */
export function bootdevCommand(setting: BootSetting): string[] {
  const { target, isOnce } = setting;
  const options = [...(modeOf(setting) === 'UEFI' ? ['efiboot'] : []), ...(isOnce ? [] : ['persistent'])];
  const device = target === 'Disk' ? 'disk' : 'pxe';
  return ['chassis', 'bootdev', device, ...(options.length === 0 ? [] : [`options=${options.join(',')}`])];
}

/** The same as bytes of Set System Boot Options. */
export function rawBootCommand(setting: BootSetting): string[] {
  const { target, isOnce } = setting;
  const first = valid | (isOnce ? 0 : persistent) | (modeOf(setting) === 'UEFI' ? efi : 0);
  const second = target === 'Disk' ? devices.Disk : devices.Network;
  return ['raw', ...[0x00, 0x08, 0x05, first, second, 0x00, 0x00, 0x00].map(hex)];
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
