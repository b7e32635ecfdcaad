import type { BootMode, MachineArchitecture } from './rack-order.ts';

/** What a kind of firmware is given to start iPXE. */
export interface BootLoader {
  /** Client system architecture, DHCP option 93 (RFC 4578 and the IANA list that goes on from it). */
  readonly clientArchitecture: number;
  readonly architecture: MachineArchitecture;
  readonly platform: BootMode;
  /** How the firmware fetches it. */
  readonly transport: 'TFTP' | 'HTTP';
  /** Below the TFTP root and below `/boot/` of the boot server: `amd64/snponly.efi`. */
  readonly file: string;
}

/** Every kind of firmware that the rack boots. snponly.efi uses the firmware's own network driver, and returns to the firmware properly. */
export const bootLoaders: readonly BootLoader[] = [
  loader(0, 'amd64 BIOS', 'TFTP'),
  loader(7, 'amd64 UEFI', 'TFTP'),
  loader(9, 'amd64 UEFI', 'TFTP'),
  loader(11, 'arm64 UEFI', 'TFTP'),
  loader(16, 'amd64 UEFI', 'HTTP'),
  loader(19, 'arm64 UEFI', 'HTTP'),
];

/** The loaders' files, each once: `amd64/undionly.kpxe`. */
export const bootLoaderFiles: readonly string[] = [...new Set(bootLoaders.map(({ file }) => file))];

/** First script of iPXE, below the boot server's address. */
export const bootScriptPath = '/ipxe/boot.ipxe';

/** DHCP option 175 tells iPXE from firmware; sub-option 176 says: do not wait for a proxyDHCP server. */
export const ipxeOption = 175;

function loader(
  clientArchitecture: number,
  kind: 'amd64 BIOS' | 'amd64 UEFI' | 'arm64 UEFI',
  transport: BootLoader['transport'],
): BootLoader {
  const [architecture, platform] = kind.split(' ') as [MachineArchitecture, BootMode];
  const file = `${architecture}/${platform === 'BIOS' ? 'undionly.kpxe' : 'snponly.efi'}`;
  return { clientArchitecture, architecture, platform, transport, file };
}
