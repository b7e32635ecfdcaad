import { Command, Option } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { addCertCommands } from '../hub/add-cert-commands.ts';
import { addAuthenticationFlags } from '../hub/authentication-flags.ts';
import { addDatabaseFlags } from '../hub/database-flags.ts';
import type { HubCommandOptions } from '../hub/hub-command.ts';
import { addStoreCommands } from '../hub/store-commands.ts';
import { addRegistryFlags } from '../hub/registry-flags.ts';
import { addSourceFlags } from '../hub/source-flags.ts';
import { addRemovalFlags } from '../hub/removal-flags.ts';
import { addServingFlags } from '../hub/serving-flags.ts';
import { addAppCommands } from '../app/add-app-commands.ts';
import { addDevCommands } from '../dev/add-dev-commands.ts';
import { addLinkCommands } from '../link/add-link-commands.ts';
import { addMachineImageCommands } from '../machine-image/add-machine-image-commands.ts';
import { addMachineCommands } from '../machine/add-machine-commands.ts';
import { addPlanCommand } from '../plan/add-plan-command.ts';
import { addRenderCommand } from '../plan/add-render-command.ts';
import { addRemovalCommands } from '../removal/add-removal-commands.ts';
import { addRolloutCommands } from '../rollout/add-rollout-commands.ts';
import { addSite } from '../site/add-site-commands.ts';
import type { ExitCode } from './exit-code.ts';
import { collect, type GlobalOptions, outputOption } from './shared-options.ts';
import type { CommandContext, OutputFormat } from './terminal.ts';

const afterHelp = `
Exit codes:
  0  all is well
  1  what was asked about is in trouble, or the request failed
  2  wrong usage: the command line, or no usable kubeconfig
  3  the hub cannot be reached
  exec exits as the command does that it runs.

Environment:
  SELVEDGE_KUBECONFIG, KUBECONFIG  kubeconfig when --kubeconfig is not given
  NO_COLOR                         no colours
  SELVEDGE_DEBUG                   where an error came from, as stack traces

Everything else is done with kubectl and the same kubeconfig.`;

/** The command line. Each action loads its command only when it runs. */
export function buildProgram(ctx: CommandContext, exit: (code: number) => void): Command {
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
  addAppCommands(program, ctx, exit);
  addPlanCommand(program, ctx, exit);
  addRenderCommand(program, ctx, exit);
  addRolloutCommands(program, ctx, exit);
  addRemovalCommands(program, ctx, exit);
  addSite(program, ctx, exit);
  addMachineCommands(program, ctx, exit);
  addMachineImageCommands(program, ctx, exit);
  addLinkCommands(program, ctx, exit);
  addDevCommands(program, ctx, exit);
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
    .option('--peer-url <url>', 'address at which other hubs on the same PostgreSQL reach this one')
    .option('--sync-wait <duration>', 'how long a request of a site may wait for news (default 50s)')
    .addOption(
      new Option('--log-level <level>', 'least level to log').choices(['debug', 'info', 'warn', 'error']),
    )
    .action(async (options: Partial<HubCommandOptions>) => {
      const { hubCommand } = await import('../hub/hub-command.ts');
      await hubCommand(options, ctx.process.env);
    });
  addDatabaseFlags(hub);
  addAuthenticationFlags(hub);
  addCertCommands(hub, ctx, exit);
  addStoreCommands(hub, ctx, exit);
  addServingFlags(hub);
  addRemovalFlags(hub);
  addRegistryFlags(hub, collect);
  addSourceFlags(hub, collect);
}

function addStatus(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  program
    .command('status')
    .description(
      'sites, applications and machines at a glance, problems first; exits 1 when something failed',
    )
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
