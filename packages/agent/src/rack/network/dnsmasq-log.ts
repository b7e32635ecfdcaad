import type { BootMode } from '@selvedge/api';
import { bootLoaders } from '@selvedge/api';

/** What dnsmasq saw on the wire, read from its log. */
export interface DhcpSight {
  readonly event: 'Discover' | 'Lease' | 'Deleted' | 'OtherServer';
  readonly macAddress: string;
  readonly address?: string;
  readonly bootMode?: BootMode;
}

/** Reads the log of one dnsmasq (`log-dhcp`), line by line. What a client says of itself stands behind fixed words there, so it cannot make up events. */
export class DnsmasqLog {
  /** Firmware of the conversation that is being told: its lines come together. */
  #told: { transaction: string; bootMode: BootMode } | undefined;

  read(line: string): DhcpSight | undefined {
    const [, transaction = '', text] = /^dnsmasq-dhcp(?:\[\d+\])?: (?:(\d+) )?(.*)$/.exec(line) ?? [];
    if (text === undefined) return undefined;
    const [, architecture] = /^vendor class: (?:PXE|HTTP)Client:Arch:(\d{5}):/.exec(text) ?? [];
    if (architecture !== undefined) {
      const loader = bootLoaders.find(
        ({ clientArchitecture }) => clientArchitecture === Number(architecture),
      );
      this.#told = loader === undefined ? undefined : { transaction, bootMode: loader.platform };
      return undefined;
    }
    const [, word = '', rest = ''] = /^(DHCP[A-Z]+|PXE)\([^)]*\) (.*)$/.exec(text) ?? [];
    const [, address, macAddress, behind = ''] =
      /^(?:(\d+\.\d+\.\d+\.\d+) )?((?:[0-9a-f]{2}:){5}[0-9a-f]{2})(?: (.*))?$/.exec(rest.trimEnd()) ?? [];
    if (macAddress === undefined) return undefined;
    const event = eventOf(word, behind);
    if (event === undefined) return undefined;
    const bootMode = this.#told?.transaction === transaction ? this.#told.bootMode : undefined;
    return {
      event,
      macAddress,
      ...(address === undefined || event === 'OtherServer' ? {} : { address }),
      ...(bootMode === undefined ? {} : { bootMode }),
    };
  }
}

function eventOf(word: string, behind: string): DhcpSight['event'] | undefined {
  switch (word) {
    case 'DHCPDISCOVER':
    case 'PXE':
      return 'Discover';
    case 'DHCPACK':
      return 'Lease';
    case 'DHCPRELEASE':
      return 'Deleted';
    case 'DHCPNAK':
      // The box had chosen another server's offer.
      return behind.startsWith('wrong server-ID') ? 'OtherServer' : undefined;
    default:
      return undefined;
  }
}

export interface Lease {
  readonly macAddress: string;
  readonly address: string;
}

/** dnsmasq's lease file: `EXPIRY MAC ADDRESS NAME CLIENT-ID`. */
export function parseLeases(text: string): Lease[] {
  return text.split('\n').flatMap((line) => {
    const [, macAddress, address] =
      /^\d+ ((?:[0-9a-f]{2}:){5}[0-9a-f]{2}) (\d+\.\d+\.\d+\.\d+) /.exec(line) ?? [];
    return macAddress === undefined || address === undefined ? [] : [{ macAddress, address }];
  });
}
