import type { Command } from 'commander';
import type { GlobalOptions } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';
import type { ExecOptions } from './exec-command.ts';
import type { KubeconfigOptions } from './kubeconfig-command.ts';
import type { LogsOptions } from './logs-command.ts';

type Exit = (code: number) => void;

/** Commands that reach into a site over the service link. */
export function addLinkCommands(program: Command, ctx: CommandContext, exit: Exit): void {
  addKubeconfig(program, ctx, exit);
  addLogs(program, ctx, exit);
  addExec(program, ctx, exit);
}

function addKubeconfig(program: Command, ctx: CommandContext, exit: Exit): void {
  program
    .command('kubeconfig')
    .description("a kubeconfig for a site's Kubernetes API, through the hub, with your own credentials")
    .argument('<site>')
    .option('--output <file>', 'write it there instead of printing it')
    .option('--merge', 'add it to the kubeconfig in use, as a context named like the site')
    .action(async (site: string, _options, command: Command) => {
      const { kubeconfigCommand } = await import('./kubeconfig-command.ts');
      const { output: file, ...options } = command.optsWithGlobals<
        GlobalOptions & Pick<KubeconfigOptions, 'merge'>
      >();
      exit(await kubeconfigCommand({ ...options, site, ...(file === undefined ? {} : { file }) }, ctx));
    });
}

function addLogs(program: Command, ctx: CommandContext, exit: Exit): void {
  addTarget(program.command('logs'))
    .description("what an application's containers write at a site, of all its pods there")
    .option('-f, --follow', 'go on until Ctrl-C')
    .option('--tail <lines>', 'last lines of each container, or all (default 100; all with --since)')
    .option('--since <duration>', 'only what was written since, as in 10m')
    .option('--previous', 'of the container that ran before the last restart')
    .option('--timestamps', 'when each line was written')
    .action(async (...[site, application, , command]: [string, string, unknown, Command]) => {
      const { logsCommand } = await import('./logs-command.ts');
      const options = command.optsWithGlobals<Omit<LogsOptions, 'site' | 'application'>>();
      exit(await logsCommand({ ...options, site, ...named(application) }, ctx));
    });
}

function addExec(program: Command, ctx: CommandContext, exit: Exit): void {
  addTarget(program.command('exec'))
    .description('run a command in a container of an application at a site; exits as the command does')
    .argument('[command...]', 'after --, with its arguments')
    .option('-i, --stdin', 'pass on standard input')
    .option('-t, --tty', 'give the command a terminal')
    .action(async (...args: [string, string, string[], unknown, Command]) => {
      const [site, application, words, , command] = args;
      const { execCommand } = await import('./exec-command.ts');
      const options = command.optsWithGlobals<Omit<ExecOptions, 'site' | 'application' | 'command'>>();
      exit(await execCommand({ ...options, site, ...named(application), command: words }, ctx));
    });
}

function addTarget(command: Command): Command {
  return command
    .argument('<site>')
    .argument('<application>', 'its name, or namespace/name')
    .option('-n, --namespace <name>', "namespace of the application (default: the kubeconfig's)")
    .option('-c, --container <name>', 'only this container')
    .option('--pod <name>', 'only this pod');
}

function named(application: string): { application: string; namespace?: string } {
  const slash = application.indexOf('/');
  if (slash < 0) return { application };
  return { namespace: application.slice(0, slash), application: application.slice(slash + 1) };
}
