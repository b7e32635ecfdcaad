import { tmpdir } from 'node:os';
import type { MachineImageSpec } from '@selvedge/api';
import { connect, type ConnectOptions, type HubConnection } from '../program/connect.ts';
import { exitCode } from '../program/exit-code.ts';
import type { Command, CommandContext, OutputFormat } from '../program/terminal.ts';
import { formatBytes } from '../render/bytes.ts';
import { readText } from '../machine/machine-flags.ts';
import { createImage, mustBeNew, prepareUpload, type TargetFlags, tellImage } from './image-target.ts';

export interface PushCommandOptions extends ConnectOptions, TargetFlags {
  readonly name: string;
  readonly file: string;
  readonly arch?: 'amd64' | 'arm64';
  readonly bootMode?: ('BIOS' | 'UEFI')[];
  readonly confirmation?: 'CloudInit' | 'Boot';
  readonly userData?: string;
  readonly description?: string;
  readonly keepAsIs?: boolean;
  readonly output: OutputFormat;
}

/** Puts a disk image into a registry, and makes the MachineImage that names it by digest. */
export const pushCommand: Command<PushCommandOptions> = async (options, ctx) => {
  const spec = await ownSpec(options);
  await using hub = await connect(options, ctx.process);
  await mustBeNew(hub, options.name);
  await pushDisk({ ...options, spec }, { hub, ctx });
  return exitCode.ok;
};

/** Pushes the file, makes the MachineImage, and tells of it. */
export async function pushDisk(
  options: Pick<PushCommandOptions, 'name' | 'file' | 'keepAsIs' | 'output'> &
    TargetFlags & { readonly spec: Partial<MachineImageSpec> },
  { hub, ctx }: { hub: HubConnection; ctx: CommandContext },
): Promise<void> {
  const { name, file, keepAsIs, output } = options;
  const { namespace, upload } = await prepareUpload(name, options, { hub, ctx });
  const { pushMachineImage } = await import('./push-image.ts');
  const pushed = await pushMachineImage({
    ...upload,
    file,
    tempDirectory: ctx.process.env['TMPDIR'] ?? tmpdir(),
    ...(keepAsIs === true ? { keepAsIs } : {}),
  });
  const image = await createImage(hub, name, { ...options.spec, ...pushed, namespace });
  const sizes = `${formatBytes(pushed.sizeBytes)} in the registry, ${formatBytes(pushed.diskBytes)} on a disk`;
  const hint = `selvedge machine provision MACHINE --image ${name} puts it on a machine.`;
  await tellImage(image, { output, line: `${name}: ${sizes}.`, hint }, ctx);
}

async function ownSpec(options: PushCommandOptions): Promise<Partial<MachineImageSpec>> {
  const { arch, bootMode, confirmation, userData, description } = options;
  return {
    ...(arch === undefined ? {} : { architecture: arch }),
    ...(bootMode === undefined ? {} : { bootModes: [...new Set(bootMode)] }),
    ...(confirmation === undefined ? {} : { confirmation }),
    ...(userData === undefined ? {} : { userData: { text: await readText('--user-data', userData) } }),
    ...(description === undefined ? {} : { description }),
  };
}
