import type { Command } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';

const recoveries = [
  {
    action: 'adopt',
    description:
      'after a hub was restored: take what the site runs as the truth; nothing changes at the site',
  },
  {
    action: 'override',
    description: 'after a hub was restored: make the site follow this hub again; asks, and says what changes',
  },
] as const;

/** `selvedge site hold|release|adopt|override`. */
export function addSiteChanges(site: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  site
    .command('hold')
    .description('nothing is activated and nothing removed at the site until it is released')
    .argument('<name>')
    .requiredOption('--reason <text>', 'why, for those who wonder later')
    .addOption(outputOption())
    .action(async (name: string, _options, command: Command) => {
      const { holdCommand } = await import('./hold-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & { reason: string }>();
      exit(await holdCommand({ ...options, site: name }, ctx));
    });
  site
    .command('release')
    .description('ends the hold; one that people set at the site itself ends only there')
    .argument('<name>')
    .addOption(outputOption())
    .action(async (name: string, _options, command: Command) => {
      const { holdCommand } = await import('./hold-command.ts');
      exit(await holdCommand({ ...command.optsWithGlobals<GlobalOptions>(), site: name }, ctx));
    });
  for (const { action, description } of recoveries) {
    site
      .command(action)
      .description(description)
      .argument('[name]')
      .option('--all', 'every site that is ahead of the hub')
      .option('-y, --yes', 'do not ask')
      .addOption(outputOption())
      .action(async (...[name, , command]: [string | undefined, unknown, Command]) => {
        const { recoveryCommand } = await import('./recovery-command.ts');
        const options = command.optsWithGlobals<GlobalOptions & { all?: boolean; yes?: boolean }>();
        exit(
          await recoveryCommand({ ...options, action, ...(name === undefined ? {} : { site: name }) }, ctx),
        );
      });
  }
}
