import { type BootLoader, bootLoaders, bootScriptPath, ipxeOption } from './boot-loaders.ts';
import { rackPort } from './inspection-wire.ts';

export const dhcpServers = ['dnsmasq', 'dhcpd', 'kea'] as const;
export type DhcpServer = (typeof dhcpServers)[number];

/**
 * What to put into the configuration of a DHCP server that stays in charge of the network (`dhcp: External`), so that boxes boot from the rack: a text for dnsmasq, ISC dhcpd, or Kea (JSON, to be merged into
 * `Dhcp4`). Boot loaders come from the rack by TFTP and HTTP.
 */
export function dhcpSnippet(
  server: DhcpServer,
  rack: { readonly rackAddress: string; readonly port?: number },
): string {
  const { rackAddress, port = rackPort } = rack;
  const target: Target = { address: rackAddress, url: `http://${rackAddress}:${port}` };
  switch (server) {
    case 'dnsmasq':
      return dnsmasqSnippet(target);
    case 'dhcpd':
      return dhcpdSnippet(target);
    case 'kea':
      return `${JSON.stringify(keaSnippet(target), undefined, 2)}\n`;
  }
}

interface Target {
  readonly address: string;
  readonly url: string;
}

function dnsmasqSnippet({ address, url }: Target): string {
  const tag = ({ clientArchitecture }: BootLoader) => `arch${clientArchitecture}`;
  return [
    `dhcp-match=set:ipxe,${ipxeOption}`,
    'dhcp-userclass=set:ipxe,iPXE',
    'dhcp-vendorclass=set:http,HTTPClient',
    'dhcp-option-force=tag:http,60,HTTPClient',
    ...bootLoaders.map(
      (loader) => `dhcp-match=set:${tag(loader)},option:client-arch,${loader.clientArchitecture}`,
    ),
    ...bootLoaders.map((loader) =>
      loader.transport === 'HTTP'
        ? `dhcp-boot=tag:${tag(loader)},tag:!ipxe,${url}/boot/${loader.file}`
        : `dhcp-boot=tag:${tag(loader)},tag:!ipxe,${loader.file},,${address}`,
    ),
    `dhcp-boot=tag:ipxe,${url}${bootScriptPath}`,
    '',
  ].join('\n');
}

function dhcpdSnippet({ address, url }: Target): string {
  const branches = bootLoaders.map(({ clientArchitecture, transport, file }) => {
    const test = `option selvedge-client-arch = ${hexWord(clientArchitecture)}`;
    return transport === 'HTTP'
      ? [test, 'option vendor-class-identifier "HTTPClient";', `filename "${url}/boot/${file}";`]
      : [test, `next-server ${address};`, `filename "${file}";`];
  });
  const all = [
    ['exists user-class and option user-class = "iPXE"', `filename "${url}${bootScriptPath}";`],
    ...branches,
  ];
  const lines = all.flatMap(([test, ...statements], i) => [
    `${i === 0 ? 'if' : '} elsif'} ${test} {`,
    ...statements.map((statement) => `  ${statement}`),
  ]);
  return ['option selvedge-client-arch code 93 = string;', ...lines, '}', ''].join('\n');
}

function keaSnippet({ address, url }: Target): object {
  const isIpxe = "option[77].hex == 'iPXE'";
  const classes = bootLoaders.map(({ clientArchitecture, transport, file }) => ({
    name: `selvedge-arch-${clientArchitecture}`,
    test: `option[93].hex == ${hexWord(clientArchitecture).replace('00:', '0x00')} and not (${isIpxe})`,
    ...(transport === 'HTTP'
      ? {
          'boot-file-name': `${url}/boot/${file}`,
          'option-data': [{ name: 'vendor-class-identifier', data: 'HTTPClient' }],
        }
      : { 'next-server': address, 'boot-file-name': file }),
  }));
  return {
    'client-classes': [
      { name: 'selvedge-ipxe', test: isIpxe, 'boot-file-name': `${url}${bootScriptPath}` },
      ...classes,
    ],
  };
}

/** Two bytes as dhcpd writes them: `00:10`. */
const hexWord = (value: number) => `00:${value.toString(16).padStart(2, '0')}`;
