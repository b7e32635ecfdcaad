import type { Command } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';

export function addPlanCommand(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  program
    .command('plan')
    .description('what would happen if the Application in a file were applied now; nothing is changed')
    .requiredOption(
      '-f, --filename <file>',
      'YAML or JSON with one or more Applications; - is standard input',
    )
    .option('-n, --namespace <name>', "namespace where the file names none (default: the kubeconfig's)")
    .addOption(outputOption())
    .action(async (_options, command: Command) => {
      const { planCommand } = await import('./plan-command.ts');
      exit(await planCommand(command.optsWithGlobals<GlobalOptions & { filename: string }>(), ctx));
    });
}
