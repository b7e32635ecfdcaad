import { type Command, Option } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import type { CommandContext } from '../program/terminal.ts';
import { addDatabaseFlags } from './database-flags.ts';
import type { BackupOptions } from './backup-command.ts';
import type { RestoreCommandOptions } from './restore-command.ts';
import type { RotateKeyOptions } from './rotate-key-command.ts';
import type { VerifyOptions } from './verify-command.ts';

/** The commands of `selvedge hub` that look after its store. */
export function addStoreCommands(hub: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  withPassphrase(hub.command('backup'))
    .description('back a running hub up into a file: its store and its keys')
    .argument('<file>', 'the backup to write; must not exist')
    .option('--data <dir>', 'read this data folder instead of asking the running hub')
    .addOption(outputOption())
    .action(async (file: string, _options, command: Command) => {
      const { backupCommand } = await import('./backup-command.ts');
      exit(await backupCommand({ ...command.optsWithGlobals<BackupOptions>(), file }, ctx));
    });
  addDatabaseFlags(withPassphrase(hub.command('restore')))
    .description('make the data folder of a hub from a backup; the hub is started afterwards')
    .argument('<file>', 'a backup')
    .option('--data <dir>', 'folder to restore into; empty, or not there yet')
    .addOption(outputOption())
    .action(async (file: string, _options, command: Command) => {
      const { restoreCommand } = await import('./restore-command.ts');
      exit(await restoreCommand({ ...command.optsWithGlobals<RestoreCommandOptions>(), file }, ctx));
    });
  addDatabaseFlags(withPassphrase(hub.command('verify')))
    .description('read a store or a backup from end to end; exits 1 when something is wrong with it')
    .argument('[file]', 'a backup')
    .option('--data <dir>', 'data folder of a hub, stopped or running')
    .addOption(outputOption())
    .action(async (file: string | undefined, _options, command: Command) => {
      const { verifyCommand } = await import('./verify-command.ts');
      const options = command.optsWithGlobals<VerifyOptions>();
      exit(await verifyCommand({ ...options, ...(file === undefined ? {} : { file }) }, ctx));
    });
  hub
    .command('rotate-key')
    .description('give the running hub a new key for secrets at rest, and seal everything anew with it')
    .addOption(outputOption())
    .action(async (_options, command: Command) => {
      const { rotateKeyCommand } = await import('./rotate-key-command.ts');
      exit(await rotateKeyCommand(command.optsWithGlobals<RotateKeyOptions>(), ctx));
    });
}

function withPassphrase(command: Command): Command {
  return command
    .option('--passphrase-file <file>', 'file with the passphrase that seals the backup')
    .option('--no-passphrase', 'the backup is not sealed');
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'form of the answer')
    .choices(['table', 'json', 'yaml'])
    .default('table');
}
