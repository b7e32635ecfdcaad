import { type Command, Option } from 'commander';
import type { ExitCode } from '../program/exit-code.ts';
import {
  collect,
  collectLabels,
  type GlobalOptions,
  outputOption,
  positiveInteger,
} from '../program/shared-options.ts';
import type { CommandContext } from '../program/terminal.ts';
import type { AllocateOptions } from './allocate-command.ts';

export function addBmcFlags(command: Command): Command {
  return command
    .option('--bmc <type>', 'how it is switched: Redfish, IPMI, WakeOnLAN, Webhook, Manual')
    .option('--bmc-address <address>', 'of its BMC: https://10.0.0.5, or 10.0.0.5 with IPMI')
    .option('--bmc-secret <namespace/name>', 'Secret with username and password of the BMC')
    .option('--bmc-insecure', 'accept any certificate of the BMC');
}

/** What goes on the disk, beside the image. */
export function addInstallFlags(command: Command): Command {
  return command
    .option('--hostname <name>', 'host name of the installed system (default: name of the machine)')
    .option('--user-data <file>', 'cloud-init user data; everybody who may read the object can read it')
    .option('--user-data-secret <namespace/name[/key]>', 'the same from a Secret at the hub (key: userData)')
    .option('--network-config <file>', 'cloud-init network configuration')
    .option(
      '--disk <hint=value>',
      'which disk: serialNumber=…, minSizeGigabytes=200; may be repeated',
      collect,
    );
}

export function addWaitFlags(command: Command): Command {
  return command
    .option('--wait', 'tell what happens until it is done; exits 1 when it fails')
    .option('--timeout <duration>', 'with --wait: give up waiting after so long (default: never)');
}

/** `selvedge machine allocate`. */
export function addAllocate(machine: Command, ctx: CommandContext, exit: (code: ExitCode) => void): void {
  const command = machine
    .command('allocate')
    .description('claim the least machine that has what is needed, and put an image on it if one is named')
    .argument('<claim>', 'name for the MachineClaim; deleting it releases the machine')
    .option('--site <name>', 'only machines at this site')
    .option('--machine <name>', 'this machine and no other')
    .option('--label <key=value>', 'only machines with this label; may be repeated', collectLabels)
    .option('--cores <n>', 'at least as many CPU threads', positiveInteger)
    .option('--memory <quantity>', 'at least as much memory: 16Gi')
    .option(
      '--with-disk <size[:ssd|hdd]>',
      'a disk at least as large: 200G:ssd; repeated: further disks',
      collect,
    )
    .option(
      '--accelerator <vendor[:product][=count]>',
      'GPUs and the like: 10de, nvidia=2, any; may be repeated',
      collect,
    )
    .option('--tag <name>', 'MachineTag that it must have; may be repeated', collect)
    .option('--not-tag <name>', 'MachineTag that it must not have; may be repeated', collect)
    .addOption(new Option('--arch <name>', 'its processor').choices(['amd64', 'arm64']))
    .option('--expression <cel>', 'CEL over machine and inventory that must be true')
    .option('--image <name>', 'MachineImage to put on it');
  addWaitFlags(addInstallFlags(command))
    .addOption(outputOption())
    .action(async (...[claim, , self]: [string, unknown, Command]) => {
      const { allocateCommand } = await import('./allocate-command.ts');
      const options = self.optsWithGlobals<GlobalOptions & Omit<AllocateOptions, 'claim'>>();
      exit(await allocateCommand({ ...options, claim }, ctx));
    });
}
