import { type Command, Option } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { type GlobalOptions, outputOption, positiveInteger } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';
import type { DevMachinesOptions } from './dev-machines-command.ts';

/** `selvedge dev …`: to try things on one's own machine. */
export function addDevCommands(program: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const dev = program.command('dev').description("try Selvedge on one's own machine");
  dev
    .command('machines')
    .description('start virtual machines with an emulated BMC each, for a rack on this machine; until Ctrl-C')
    .option('--count <n>', 'how many', positiveInteger, 1)
    .option('--site <name>', 'Site whose rack they are; made when it is not there', 'dev')
    .option('--bridge <name>', "bridge that they are plugged into (needs root); default QEMU's own network")
    .addOption(
      new Option('--firmware <mode>', 'their firmware; UEFI needs --bridge')
        .choices(['BIOS', 'UEFI'])
        .default('BIOS'),
    )
    .option('--memory <MiB>', 'memory of each, in MiB', positiveInteger, 512)
    .option('--disk <size>', 'disk of each, as a quantity; takes only what is written', '4Gi')
    .option('--rack-port <port>', "port of the rack's boot server on this machine", positiveInteger, 5248)
    .option('--discover', 'turn them on and make no Machines: the rack finds them')
    .option('--data <dir>', 'folder for their disks (default ~/.local/state/selvedge/dev-machines/SITE)')
    .action(async (_options, command: Command) => {
      const { devMachinesCommand } = await import('./dev-machines-command.ts');
      exit(await devMachinesCommand(command.optsWithGlobals<DevMachinesOptions>(), ctx));
    });
  dev
    .command('image')
    .description(
      'make a tiny operating system (20 MiB, amd64) and its MachineImage, to have something to install',
    )
    .argument('<name>', 'name for the MachineImage; the installed system shows it on its console')
    .addOption(outputOption())
    .action(async (...[name, , command]: [string, unknown, Command]) => {
      const { devImageCommand } = await import('./dev-image-command.ts');
      exit(await devImageCommand({ ...command.optsWithGlobals<GlobalOptions>(), name }, ctx));
    });
}
