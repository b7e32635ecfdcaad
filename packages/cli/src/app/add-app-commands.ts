import type { Command } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';

/** Single applications, and what they come from. */
export function addAppCommands(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const app = program.command('app').description('applications, and what they come from');
  withName(app.command('show'))
    .description(
      'where an application comes from, what was read of it last, and how its newest release stands',
    )
    .action(async (...[name, , command]: [string, unknown, Command]) => {
      const { showAppCommand } = await import('./show-command.ts');
      exit(await showAppCommand({ ...command.optsWithGlobals<GlobalOptions>(), name }, ctx));
    });
  withName(app.command('refresh'))
    .description('have the hub look at the source now, and say what it found')
    .option('--no-wait', 'do not wait until it has looked')
    .action(async (...[name, , command]: [string, unknown, Command]) => {
      const { refreshAppCommand } = await import('./refresh-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & { wait: boolean }>();
      exit(await refreshAppCommand({ ...options, name }, ctx));
    });
}

function withName(command: Command): Command {
  return command
    .argument('<application>')
    .option('-n, --namespace <name>', "namespace of the application (default: the kubeconfig's)")
    .addOption(outputOption());
}
