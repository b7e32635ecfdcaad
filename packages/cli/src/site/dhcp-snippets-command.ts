import { type DhcpServer, dhcpSnippet } from '@selvedge/api';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode, UsageError } from '../program/exit-code.ts';
import type { Command } from '../program/terminal.ts';
import { getSite } from './get-site.ts';

export interface DhcpSnippetsOptions extends ConnectOptions {
  readonly site: string;
  readonly server: DhcpServer;
  /** Of `spec.rack.networks`; absent: the only one. */
  readonly network?: string;
  /** Of the rack, when it was started with another `--rack-listen`. */
  readonly port?: number;
}

/** What has to stand in the configuration of a DHCP server that is there already, so that machines boot from the site's rack. */
export const dhcpSnippetsCommand: Command<DhcpSnippetsOptions> = async (options, ctx) => {
  await using hub = await connect(options, ctx.process);
  const { spec } = await getSite(hub.client, options.site);
  const networks = spec?.rack?.networks ?? [];
  if (networks.length === 0) {
    throw new CommandError(
      `site ${options.site} has no network on which machines boot`,
      'spec.rack.networks of the Site names them.',
    );
  }
  const names = networks.map(({ name }) => name).join(', ');
  if (options.network === undefined && networks.length > 1) {
    throw new UsageError(`--network has to say which: ${names}`);
  }
  const network =
    options.network === undefined ? networks[0] : networks.find(({ name }) => name === options.network);
  if (!network) throw new UsageError(`--network ${options.network}: site ${options.site} has ${names}`);
  if (network.dhcp !== 'External') {
    ctx.hint(
      `The rack answers DHCP on ${network.name} itself (dhcp: ${network.dhcp ?? 'Own'}); this is for dhcp: External.`,
    );
  }
  const [rackAddress = ''] = network.address.split('/');
  const port = options.port === undefined ? {} : { port: options.port };
  ctx.print(dhcpSnippet(options.server, { rackAddress, ...port }).trimEnd());
  return exitCode.ok;
};
