import { Command, InvalidArgumentError, Option } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { addCertCommands } from '../hub/add-cert-commands.ts';
import { addAuthenticationFlags } from '../hub/authentication-flags.ts';
import { addDatabaseFlags } from '../hub/database-flags.ts';
import type { HubCommandOptions } from '../hub/hub-command.ts';
import { addStoreCommands } from '../hub/store-commands.ts';
import { addServingFlags } from '../hub/serving-flags.ts';
import type { ExitCode } from './exit-code.ts';
import type { CommandContext, OutputFormat } from './terminal.ts';

interface GlobalOptions {
  kubeconfig?: string;
  context?: string;
  insecureSkipTlsVerify?: boolean;
  output: OutputFormat;
  namespace?: string;
}

const afterHelp = `
Exit codes:
  0  all is well
  1  what was asked about is in trouble, or the request failed
  2  wrong usage: the command line, or no usable kubeconfig
  3  the hub cannot be reached

Environment:
  SELVEDGE_KUBECONFIG, KUBECONFIG  kubeconfig when --kubeconfig is not given
  NO_COLOR                         no colours
  SELVEDGE_DEBUG                   where an error came from, as stack traces

Everything else is done with kubectl and the same kubeconfig.`;

/** The command line. Each action loads its command only when it runs. */
export function buildProgram(ctx: CommandContext, exit: (code: ExitCode) => void): Command {
  const program = new Command('selvedge')
    .description('One control plane for applications in the cloud and at thousands of edge sites.')
    .option('--kubeconfig <file>', 'how to reach the hub')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--insecure-skip-tls-verify', 'accept a kubeconfig that asks not to verify the hub')
    .addHelpText('after', afterHelp)
    .showHelpAfterError('(--help tells more)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => ctx.process.stdout.write(text),
      writeErr: (text) => ctx.process.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error:/, 'selvedge:')),
    });
  addHub(program, ctx, exit);
  addStatus(program, ctx, exit);
  addWhy(program, ctx, exit);
  addSite(program, ctx, exit);
  program
    .command('version')
    .description('version of this program')
    .addOption(outputOption())
    .action(async (options: { output: OutputFormat }) => {
      const { formatDocument } = await import('./terminal.ts');
      const version = { selvedge: packageJson.version, node: process.versions.node };
      ctx.print(
        options.output === 'table'
          ? `selvedge ${version.selvedge} (Node ${version.node})`
          : await formatDocument(options.output, version),
      );
    });
  return program;
}

function addHub(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const hub = program
    .command('hub')
    .description('run the hub: API server, controllers and the door that sites use')
    // Needed, but not by every subcommand: hub-command.ts looks.
    .option('--data <dir>', 'folder for everything that lasts; made when it does not exist')
    .option('--listen <host:port>', 'address to listen at (default 0.0.0.0:6480)')
    .option('--advertise <url>', 'address that sites and people reach the hub at; may be repeated', collect)
    .option('--sync-wait <duration>', 'how long a request of a site may wait for news (default 50s)')
    .addOption(
      new Option('--log-level <level>', 'least level to log').choices(['debug', 'info', 'warn', 'error']),
    )
    .action(async (options: Partial<HubCommandOptions>) => {
      const { hubCommand } = await import('../hub/hub-command.ts');
      await hubCommand(options);
    });
  addDatabaseFlags(hub);
  addAuthenticationFlags(hub);
  addCertCommands(hub, ctx, exit);
  addStoreCommands(hub, ctx, exit);
  addServingFlags(hub);
}

function addStatus(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  program
    .command('status')
    .description('sites and applications at a glance, problems first; exits 1 when something failed')
    .addOption(outputOption())
    .option('-n, --namespace <name>', 'only applications of this namespace')
    .option('-A, --all-namespaces', 'applications of all namespaces (the default)')
    .option('-w, --watch', 'show it again whenever something changes')
    .action(async (_options, command: Command) => {
      const { statusCommand } = await import('../status/status-command.ts');
      exit(await statusCommand(command.optsWithGlobals(), ctx));
    });
}

function addWhy(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  program
    .command('why')
    .description('why an application at a site is as it is, and what happens next')
    .argument('<site>')
    .argument('<application>', 'its name, or namespace/name')
    .addOption(outputOption())
    .option('-n, --namespace <name>', "namespace of the application (default: the kubeconfig's)")
    .action(async (...[site, application, , command]: [string, string, unknown, Command]) => {
      const { whyCommand } = await import('../why/why-command.ts');
      const slash = application.indexOf('/');
      const named =
        slash < 0
          ? { application }
          : { namespace: application.slice(0, slash), application: application.slice(slash + 1) };
      exit(await whyCommand({ ...command.optsWithGlobals<GlobalOptions>(), site, ...named }, ctx));
    });
}

function addSite(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const site = program.command('site').description('sites, their tokens and keys');
  site
    .command('list')
    .description('all sites')
    .addOption(outputOption())
    .action(async (_options, command: Command) => {
      const { listCommand } = await import('../site/list-command.ts');
      exit(await listCommand(command.optsWithGlobals(), ctx));
    });
  site
    .command('show')
    .description('one site: its agent, and what runs there')
    .argument('<name>')
    .addOption(outputOption())
    .action(async (name: string, _options, command: Command) => {
      const { showCommand } = await import('../site/show-command.ts');
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
      const { tokenCommand } = await import('../site/token-command.ts');
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
      const { revokeCommand } = await import('../site/revoke-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & { yes?: boolean }>();
      exit(await revokeCommand({ ...options, site: name }, ctx));
    });
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'form of the answer')
    .choices(['table', 'json', 'yaml'])
    .default('table');
}

function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

function collectLabels(text: string, previous: Record<string, string> | undefined): Record<string, string> {
  const labels = { ...previous };
  for (const pair of text.split(',')) {
    const [key, value] = pair.split('=');
    if (!key || value === undefined) throw new InvalidArgumentError('Write it as key=value.');
    labels[key] = value;
  }
  return labels;
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It has to be a whole number from 1.');
  return Number(text);
}
