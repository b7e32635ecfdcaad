import { type Command, Option } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { collectLabels, type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';
import { addMachineActs } from './add-machine-acts.ts';
import { addAllocate, addBmcFlags } from './add-machine-installs.ts';
import type { BmcFlags } from './machine-flags.ts';

type Exit = (code: number) => void;

/** `selvedge machine …`: where machines are in their life, and what people want of them. */
export function addMachineCommands(program: Command, ctx: CommandContext, exit: Exit): void {
  const machine = program
    .command('machine')
    .description('machines: where they are in their life, what they wait for, what is wanted of them');
  addViews(machine, ctx, exit as (code: ExitCode) => void);
  addMachineActs(machine, ctx, exit as (code: ExitCode) => void);
  addAllocate(machine, ctx, exit as (code: ExitCode) => void);
  addImport(machine, ctx, exit as (code: ExitCode) => void);
  addConsole(machine, ctx, exit);
}

function addViews(machine: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  machine
    .command('list')
    .description('all machines, each with what it is doing or waiting for')
    .option('--site <name>', 'only those at this site')
    .option('--phase <phase>', 'only those in this phase')
    .option('-l, --selector <selector>', 'only those with these labels, as kubectl writes it')
    .option('-w, --watch', 'show it again whenever something changes')
    .addOption(outputOption('name'))
    .action(async (_options, command: Command) => {
      const { listMachinesCommand } = await import('./list-command.ts');
      exit(await listMachinesCommand(command.optsWithGlobals(), ctx));
    });
  machine
    .command('show')
    .description(
      'one machine: where it is, what is expected, what was last seen, what happens next, what to do; exits 1 when it is in error',
    )
    .argument('<name>', 'its name, or a MAC address, serial number, UUID or display name')
    .option('-w, --watch', 'show it again whenever something changes')
    .addOption(outputOption())
    .action(async (...[name, , command]: [string, unknown, Command]) => {
      const { showMachineCommand } = await import('./show-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & { watch?: boolean }>();
      exit(await showMachineCommand({ ...options, name }, ctx));
    });
  machine
    .command('timeline')
    .description('what happened to a machine, oldest first')
    .argument('<name>')
    .option('-f, --follow', 'go on until Ctrl-C')
    .addOption(outputOption())
    .action(async (...[name, , command]: [string, unknown, Command]) => {
      const { timelineCommand } = await import('./timeline-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & { follow?: boolean }>();
      exit(await timelineCommand({ ...options, name }, ctx));
    });
}

function addImport(machine: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const command = machine
    .command('import')
    .description('make a machine known that runs already: nothing on it is written, erased or switched off')
    .argument('<name>', 'name for it')
    .requiredOption('--site <name>', 'where it stands')
    .option('--mac <address>', 'of the port that it boots from; may be repeated', collectTexts)
    .option('--uuid <uuid>', 'SMBIOS UUID (dmidecode -s system-uuid)')
    .option('--serial <number>', 'serial number; may be repeated', collectTexts)
    .option('--display-name <text>', 'name for people')
    .option('--address <ip>', 'IPv4 address that the rack always gives it')
    .option('--label <key=value>', 'label; may be repeated', collectLabels)
    .option('--no-running', 'nothing runs on it: it is a new box that may be inspected and installed');
  addBmcFlags(command)
    .addOption(outputOption())
    .action(async (...[name, , self]: [string, unknown, Command]) => {
      const { importCommand } = await import('./import-command.ts');
      const options = self.optsWithGlobals<
        GlobalOptions &
          BmcFlags & { site: string; running: boolean; mac?: string[]; uuid?: string; serial?: string[] }
      >();
      exit(await importCommand({ ...options, name }, ctx));
    });
}

const collectTexts = (value: string, previous: string[] | undefined): string[] => [
  ...(previous ?? []),
  value,
];

function addConsole(machine: Command, ctx: CommandContext, exit: Exit): void {
  machine
    .command('console')
    .description('the serial console of a machine, through the link of its site; Ctrl-] ends it')
    .argument('<name>')
    .addOption(new Option('--log', 'only what its inspection system wrote lately'))
    .action(async (...[name, , command]: [string, unknown, Command]) => {
      const { consoleCommand } = await import('./console-command.ts');
      exit(
        await consoleCommand({ ...command.optsWithGlobals<GlobalOptions & { log?: boolean }>(), name }, ctx),
      );
    });
}
