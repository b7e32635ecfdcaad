import type { Command } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';

interface ExportFlags extends GlobalOptions {
  readonly file: string;
  readonly withoutImages?: boolean;
  readonly have?: string;
}

/** `selvedge site export|import`: a site that no network reaches. */
export function addArchiveCommands(site: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  site
    .command('export')
    .description('write what a site is to run, and all that it needs for it, into one file, for a USB stick')
    .argument('<name>', 'name of the site')
    .requiredOption('-f, --file <file>', 'the file to write; one that is there is replaced; - for stdout')
    .option('--without-images', 'leave container images out')
    .option(
      '--have <file>',
      'leave out image blobs that the site has: what "selvedge-agent depot list" printed there',
    )
    .addOption(outputOption())
    .action(async (name: string, _options, command: Command) => {
      const { exportCommand } = await import('./export-command.ts');
      exit(await exportCommand({ ...command.optsWithGlobals<ExportFlags>(), site: name }, ctx));
    });
  site
    .command('import')
    .description('take such a file on the machine of the site: runs "selvedge-agent import"')
    .argument('<file>')
    .requiredOption('--state <dir>', 'state directory of the agent')
    .action(async (file: string, { state }: { state: string }) => {
      const { importCommand } = await import('./import-command.ts');
      exit(await importCommand({ file, state }, ctx));
    });
}
