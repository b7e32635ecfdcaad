import { type Command, Option } from 'commander';
import { type DhcpServer, dhcpServers } from '@selvedge/api';
import type { ExitCode } from '../program/exit-code.ts';
import {
  collect,
  collectLabels,
  type GlobalOptions,
  outputOption,
  positiveInteger,
} from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';
import { addArchiveCommands } from './add-archive-commands.ts';
import { addManifestCommand } from './add-manifest-command.ts';
import { addSiteChanges } from './add-site-changes.ts';

export function addSite(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const site = program.command('site').description('sites, their tokens and keys');
  site
    .command('list')
    .description('all sites')
    .addOption(outputOption())
    .action(async (_options, command: Command) => {
      const { listCommand } = await import('./list-command.ts');
      exit(await listCommand(command.optsWithGlobals(), ctx));
    });
  site
    .command('show')
    .description('one site: its agent, and what runs there')
    .argument('<name>')
    .addOption(outputOption())
    .action(async (name: string, _options, command: Command) => {
      const { showCommand } = await import('./show-command.ts');
      exit(await showCommand({ ...command.optsWithGlobals<GlobalOptions>(), site: name }, ctx));
    });
  site
    .command('token')
    .description('print a token with which an agent joins as this site; the site is made when it joins')
    .argument('<name>', 'name of the site, or a template of names: shop-{hostname}, shop-{random}')
    .option('--uses <n>', 'how many agents may join with it (default 1)', positiveInteger)
    .option('--ttl <duration>', 'how long it is valid (default 24h)')
    .option('--label <key=value>', 'label for a site that it makes; may be repeated', collectLabels)
    .addOption(new Option('--labels <key=value>').argParser(collectLabels).hideHelp())
    .option('--hub-url <url>', 'hub address to put into it instead; may be repeated', collect)
    .addOption(outputOption())
    .action(async (name: string, _options, command: Command) => {
      const { tokenCommand } = await import('./token-command.ts');
      const { label, labels, hubUrl, ...options } = command.optsWithGlobals<
        GlobalOptions & {
          uses?: number;
          ttl?: string;
          label?: Record<string, string>;
          labels?: Record<string, string>;
          hubUrl?: string[];
        }
      >();
      const allLabels =
        label === undefined && labels === undefined ? {} : { labels: { ...labels, ...label } };
      const hubUrls = hubUrl === undefined ? {} : { hubUrls: hubUrl };
      exit(await tokenCommand({ ...options, ...allLabels, ...hubUrls, site: name }, ctx));
    });
  site
    .command('revoke')
    .description("take the site's key away: its agent is refused for good, what runs there goes on")
    .argument('<name>')
    .option('-y, --yes', 'do not ask')
    .addOption(outputOption())
    .action(async (name: string, _options, command: Command) => {
      const { revokeCommand } = await import('./revoke-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & { yes?: boolean }>();
      exit(await revokeCommand({ ...options, site: name }, ctx));
    });
  addDhcpSnippets(site, ctx, exit);
  addManifestCommand(site, ctx, exit);
  addArchiveCommands(site, ctx, exit);
  addSiteChanges(site, ctx, exit);
}

function addDhcpSnippets(site: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  site
    .command('dhcp-snippets')
    .description("what a DHCP server that is there already needs, so that machines boot from the site's rack")
    .argument('<name>')
    .addOption(new Option('--server <program>', 'which').choices([...dhcpServers]).default('dnsmasq'))
    .option('--network <name>', 'network of spec.rack.networks, when there are several')
    .option('--port <n>', 'port of the rack, when it is not 5248', positiveInteger)
    .action(async (...[name, , command]: [string, unknown, Command]) => {
      const { dhcpSnippetsCommand } = await import('./dhcp-snippets-command.ts');
      const options = command.optsWithGlobals<
        GlobalOptions & { server: DhcpServer; network?: string; port?: number }
      >();
      exit(await dhcpSnippetsCommand({ ...options, site: name }, ctx));
    });
}
