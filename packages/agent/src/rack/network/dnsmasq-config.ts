import { bootLoaders, bootScriptPath, ipxeOption } from '@selvedge/api';
import { formatIpv4 } from './ipv4.ts';
import type { NetworkPlan } from './network-plan.ts';
import type { Reservation } from './plan-addresses.ts';

export interface DnsmasqConfigOptions {
  readonly hostsFile: string;
  readonly leaseFile: string;
  readonly tftpRoot: string;
  readonly network: NetworkPlan;
  /** Of the boot server. */
  readonly port: number;
  /** Whom dnsmasq becomes once it has its sockets; absent: it stays who started it. */
  readonly user?: string;
  /**
   * IPv6 network that the rack has on the interface, for router advertisements that make it no router: iPXE waits 14 seconds for one otherwise.
   */
  readonly ipv6Network?: string;
}

/** Sender of the rack's own probes for other DHCP servers: no rack answers it. Locally administered. */
export const probeMacAddress = '02:53:4c:56:47:01';

/** How long an address is given to a box that nobody knows. */
const unknownLeaseSeconds = 300;

/** The whole configuration of one dnsmasq for one network; DNS is off. Facts in reference/machines.md §3.4 hold for 2.85 and later. */
export function dnsmasqConfig(options: DnsmasqConfigOptions): string {
  const { network, user, tftpRoot } = options;
  const lines = [
    'port=0',
    `interface=${network.interface}`,
    'except-interface=lo',
    'bind-dynamic',
    ...(user === undefined ? [] : [`user=${user}`]),
    'log-facility=-',
    'enable-tftp',
    `tftp-root=${tftpRoot}`,
    'tftp-single-port',
    ...(network.dhcp === 'External' ? [] : dhcpLines(options)),
  ];
  return `${lines.join('\n')}\n`;
}

/** One line for each machine; read again on SIGHUP. */
export function dnsmasqHosts(network: NetworkPlan, reservations: readonly Reservation[]): string {
  return reservations
    .map(({ macAddress, address, hostname }) => [macAddress, address, hostname, network.leaseSeconds])
    .map((parts) => `${parts.filter((part) => part !== '').join(',')}\n`)
    .join('');
}

function dhcpLines(options: DnsmasqConfigOptions): string[] {
  return [
    'log-dhcp',
    `dhcp-leasefile=${options.leaseFile}`,
    `dhcp-host=${probeMacAddress},ignore`,
    // The file name stays in the header, where old firmware looks for it.
    'dhcp-no-override',
    ...(options.network.dhcp === 'Own' ? ownLines(options) : proxyLines(options)),
    `dhcp-match=set:ipxe,${ipxeOption}`,
    'dhcp-userclass=set:ipxe,iPXE',
    'dhcp-vendorclass=set:http,HTTPClient',
    ...bootLoaders.map(
      ({ clientArchitecture }) =>
        `dhcp-match=set:${archTag(clientArchitecture)},option:client-arch,${clientArchitecture}`,
    ),
    ...bootLines(options),
  ];
}

function ownLines({ network, hostsFile, ipv6Network }: DnsmasqConfigOptions): string[] {
  const { range, subnet, gateway } = network;
  const list = (addresses: readonly number[]) => addresses.map(formatIpv4).join(',');
  const own = [
    'dhcp-authoritative',
    // One box, one address: its firmware, iPXE and Linux call themselves differently.
    'dhcp-ignore-clid',
    `dhcp-hostsfile=${hostsFile}`,
    range === undefined
      ? `dhcp-range=${formatIpv4(subnet.network)},static,${subnet.netmask},${network.leaseSeconds}`
      : `dhcp-range=${list([range.from, range.to])},${subnet.netmask},${Math.min(network.leaseSeconds, unknownLeaseSeconds)}`,
    `dhcp-lease-max=${Math.max(1000, range === undefined ? 0 : range.to - range.from + 1)}`,
    // Without a value: none, rather than the rack itself.
    `dhcp-option=option:router${gateway === undefined ? '' : `,${formatIpv4(gateway)}`}`,
    // iPXE is not to wait for a proxyDHCP server: there is none.
    `dhcp-option=encap:${ipxeOption},176,1b`,
  ];
  if (network.dnsServers.length > 0) own.push(`dhcp-option=option:dns-server,${list(network.dnsServers)}`);
  if (network.ntpServers.length > 0) own.push(`dhcp-option=option:ntp-server,${list(network.ntpServers)}`);
  if (ipv6Network !== undefined) {
    own.push('enable-ra', `dhcp-range=${ipv6Network},ra-only,64`, `ra-param=${network.interface},0,0`);
  }
  return own;
}

function proxyLines({ network }: DnsmasqConfigOptions): string[] {
  return [
    `dhcp-range=${formatIpv4(network.subnet.network)},proxy,${network.subnet.netmask}`,
    // The firmware takes the file that stands in the answer, without a menu.
    'dhcp-option=vendor:PXEClient,6,2b',
    'dhcp-pxe-vendor=PXEClient,HTTPClient',
  ];
}

function bootLines({ network, port }: DnsmasqConfigOptions): string[] {
  const address = formatIpv4(network.address);
  const url = `http://${address}:${port}`;
  // A proxy names its own address: the other server's stands in the client's lease.
  const server = network.dhcp === 'Proxy' ? `,,${address}` : '';
  return [
    ...(network.dhcp === 'Own' ? ['dhcp-option-force=tag:http,60,HTTPClient'] : []),
    ...bootLoaders.map(({ clientArchitecture, transport, file }) => {
      const path = transport === 'HTTP' ? `${url}/boot/${file}` : file;
      return `dhcp-boot=tag:${archTag(clientArchitecture)},tag:!ipxe,${path}${server}`;
    }),
    ...(network.dhcp === 'Proxy'
      ? bootLoaders
          .filter(({ platform }) => platform === 'BIOS')
          .map(
            ({ clientArchitecture, file }) =>
              `pxe-service=tag:${archTag(clientArchitecture)},tag:!ipxe,x86PC,"iPXE",${file}`,
          )
      : []),
    `dhcp-boot=tag:ipxe,${url}${bootScriptPath}`,
  ];
}

const archTag = (clientArchitecture: number) => `arch${clientArchitecture}`;
