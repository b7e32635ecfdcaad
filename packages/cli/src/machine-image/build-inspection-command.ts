import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectOptions } from '../program/connect.ts';
import { CommandError, exitCode } from '../program/exit-code.ts';
import type { Command, CommandContext, OutputFormat } from '../program/terminal.ts';
import { formatBytes } from '../render/bytes.ts';
import {
  createImage,
  mustBeNew,
  packageCache,
  prepareUpload,
  type TargetFlags,
  tellImage,
} from './image-target.ts';

export interface BuildInspectionOptions extends ConnectOptions, TargetFlags {
  /** Default: `inspection-ARCH-` and the beginning of its digest. */
  readonly name?: string;
  readonly arch: 'amd64' | 'arm64';
  readonly kernel: 'cloud' | 'generic';
  /** Only build it, into this folder. */
  readonly dir?: string;
  readonly output: OutputFormat;
}

/** Builds the inspection system out of Debian packages, without root, and gives it to the racks of all sites. */
export const buildInspectionCommand: Command<BuildInspectionOptions> = async (options, ctx) => {
  if (options.dir !== undefined) {
    const files = await build(options.dir, options, ctx);
    for (const { name, sizeBytes } of files) ctx.print(`${name}   ${formatBytes(sizeBytes)}`);
    return exitCode.ok;
  }
  await using hub = await connect(options, ctx.process);
  if (options.name !== undefined) await mustBeNew(hub, options.name);
  const folder = await mkdtemp(join(ctx.process.env['TMPDIR'] ?? tmpdir(), 'selvedge-inspection-'));
  try {
    const files = await build(join(folder, 'system'), options, ctx);
    const { pushInspectionImage } = await import('./push-image.ts');
    const repository = options.name ?? `inspection-${options.arch}`;
    const { namespace, upload } = await prepareUpload(repository, options, { hub, ctx });
    const { reference } = await pushInspectionImage({
      ...upload,
      files: files.map(({ name, path }) => ({ title: name, path })),
    });
    const digest = reference.slice(reference.indexOf('@sha256:') + '@sha256:'.length);
    const name = options.name ?? `${repository}-${digest.slice(0, 10)}`;
    await mustBeNew(hub, name);
    const image = await createImage(hub, name, {
      type: 'Inspection',
      reference,
      namespace,
      architecture: options.arch,
      description: `Built with Debian's ${options.kernel} kernel`,
    });
    const hint =
      'Racks take the newest for each architecture, or what spec.rack.inspectionImages of the Site names.';
    await tellImage(image, { output: options.output, line: `${name} is there.`, hint }, ctx);
    return exitCode.ok;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

async function build(
  outputDir: string,
  { arch, kernel }: BuildInspectionOptions,
  ctx: CommandContext,
): Promise<readonly { readonly name: string; readonly path: string; readonly sizeBytes: number }[]> {
  const cacheDir = packageCache(ctx.process);
  const { buildInspectionSystem } = await import('@selvedge/inspection');
  ctx.hint(
    `Builds the inspection system (${arch}, ${kernel} kernel) out of Debian packages; this takes a minute or two.`,
  );
  try {
    const { files, kernelRelease } = await buildInspectionSystem({
      architecture: arch,
      kernel,
      outputDir,
      cacheDir,
      signal: ctx.process.signal,
    });
    ctx.hint(`Kernel ${kernelRelease}.`);
    return files;
  } catch (cause) {
    if (ctx.process.signal.aborted) throw cause;
    throw new CommandError(
      `the inspection system could not be built: ${(cause as Error).message}`,
      'It needs Debian or Ubuntu, with apt-get and dpkg-deb; no root.',
      { cause },
    );
  }
}
