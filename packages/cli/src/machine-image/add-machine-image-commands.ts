import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import { type GlobalOptions, outputOption } from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';
import type { BuildInspectionOptions } from './build-inspection-command.ts';
import type { PushCommandOptions } from './push-command.ts';

type Exit = (code: ExitCode) => void;

/** `selvedge machine-image …`: what can be put on machines. */
export function addMachineImageCommands(
  program: Command,
  ctx: CommandContext,
  exit: (code: number) => void,
): void {
  const image = program
    .command('machine-image')
    .description('what can be put on machines: disk images, and the system that racks inspect them with');
  addList(image, ctx, exit);
  addPush(image, ctx, exit);
  addBuildInspection(image, ctx, exit);
}

function addList(image: Command, ctx: CommandContext, exit: Exit): void {
  image
    .command('list')
    .description('all machine images')
    .addOption(outputOption())
    .action(async (_options, command: Command) => {
      const { listImagesCommand } = await import('./list-command.ts');
      exit(await listImagesCommand(command.optsWithGlobals(), ctx));
    });
}

function addTarget(command: Command): Command {
  return command
    .option('--to <host/namespace/name>', 'registry to put it into (default: that of the hub)')
    .option(
      '--image-namespace <name>',
      'namespace of the hub whose registry part and credentials are meant (default: default)',
    )
    .option('--registry-user <name>', 'login at another registry')
    .option('--registry-password-file <file>', 'file with the password for it')
    .option('--insecure-registry', 'the other registry speaks plain HTTP');
}

const modes = ['BIOS', 'UEFI'] as const;

function collectModes(
  text: string,
  previous: (typeof modes)[number][] | undefined,
): (typeof modes)[number][] {
  const mode = modes.find((one) => one === text.toUpperCase());
  if (!mode) throw new InvalidArgumentError('It has to be BIOS or UEFI.');
  return [...(previous ?? []), mode];
}

function addPush(image: Command, ctx: CommandContext, exit: Exit): void {
  const push = image
    .command('push')
    .description(
      'put a disk image into the registry of the hub and make the MachineImage; goes on where it was cut off',
    )
    .argument('<name>', 'name for the MachineImage')
    .argument('<file>', 'raw or qcow2, perhaps compressed with gzip, zstd or xz')
    .addOption(
      new Option('--arch <name>', 'processor that it runs on (default amd64)').choices(['amd64', 'arm64']),
    )
    .option(
      '--boot-mode <mode>',
      'firmware that it boots with: BIOS or UEFI; may be repeated (default: both)',
      collectModes,
    )
    .addOption(
      new Option(
        '--confirmation <how>',
        'CloudInit (default): the installed system says that it runs; Boot: it counts once it boots from its disk',
      ).choices(['CloudInit', 'Boot']),
    )
    .option('--user-data <file>', 'default cloud-init user data')
    .option('--description <text>', 'for people')
    .option('--keep-as-is', 'send the file as it is, without packing it');
  addTarget(push)
    .addOption(outputOption())
    .action(async (...[name, file, , command]: [string, string, unknown, Command]) => {
      const { pushCommand } = await import('./push-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & Omit<PushCommandOptions, 'name' | 'file'>>();
      exit(await pushCommand({ ...options, name, file }, ctx));
    });
}

function addBuildInspection(image: Command, ctx: CommandContext, exit: Exit): void {
  const build = image
    .command('build-inspection')
    .description(
      'build the system that racks inspect, write and erase machines with, out of Debian packages, without root',
    )
    .argument('[name]', 'name for the MachineImage')
    .addOption(new Option('--arch <name>', 'processor').choices(['amd64', 'arm64']).default('amd64'))
    .addOption(
      new Option(
        '--kernel <flavour>',
        'generic: drivers of real hardware; cloud: virtual machines only, smaller',
      )
        .choices(['generic', 'cloud'])
        .default('generic'),
    )
    .option('--dir <folder>', 'only build it there, for selvedge-agent run --rack-boot-files');
  addTarget(build)
    .addOption(outputOption())
    .action(async (...[name, , command]: [string | undefined, unknown, Command]) => {
      const { buildInspectionCommand } = await import('./build-inspection-command.ts');
      const options = command.optsWithGlobals<GlobalOptions & Omit<BuildInspectionOptions, 'name'>>();
      exit(await buildInspectionCommand({ ...options, ...(name === undefined ? {} : { name }) }, ctx));
    });
}
