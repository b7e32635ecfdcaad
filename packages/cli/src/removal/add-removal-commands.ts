import type { Command } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';

/** What waits for a person because too much would go. NAME is an Application, or `site/NAME`. */
export function addRemovalCommands(
  program: Command,
  ctx: CommandContext,
  exit: (code: ExitCode) => void,
): void {
  const removal = program
    .command('removal')
    .description('removals that wait for a person, because too much would go at once');
  removal
    .command('list')
    .description('everything that waits')
    .addOption(outputOption())
    .option('-n, --namespace <name>', 'only applications of this namespace')
    .action(async (_options, command: Command) => {
      const { listRemovalsCommand } = await import('./list-command.ts');
      exit(await listRemovalsCommand(command.optsWithGlobals(), ctx));
    });
  withName(removal.command('show'))
    .description('exactly what would go, why it waits, and what stays')
    .option('--all', 'every site of the set, not only the first 100')
    .action(async (...[name, , command]: [string | undefined, unknown, Command]) => {
      const { showRemovalCommand } = await import('./show-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & { sites?: true; all?: true }>();
      exit(await showRemovalCommand({ ...options, name }, ctx));
    });
  withName(removal.command('approve'))
    .description('let exactly the set go that was shown')
    .option('--digest <digest>', 'of the set, as shown: what differs from it is refused')
    .option('--volumes', 'volumes with data go too')
    .option('-y, --yes', 'do not ask')
    .action(async (...[name, , command]: [string | undefined, unknown, Command]) => {
      const { approveRemovalCommand } = await import('./approve-command.ts');
      const options = command.optsWithGlobals<
        GlobalOptions & { sites?: true; digest?: string; volumes?: true; yes?: true }
      >();
      exit(await approveRemovalCommand({ ...options, name }, ctx));
    });
}

function withName(command: Command): Command {
  return command
    .argument('[name]', 'an application, or site/NAME')
    .option('--sites', 'all Sites that wait, as one set')
    .option('-n, --namespace <name>', "namespace of the application (default: the kubeconfig's)")
    .addOption(outputOption());
}
