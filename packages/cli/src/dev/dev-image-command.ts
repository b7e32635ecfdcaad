import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mustBeNew, packageCache } from '../machine-image/image-target.ts';
import { pushDisk } from '../machine-image/push-command.ts';
import { type ConnectOptions, connect } from '../program/connect.ts';
import { CommandError, exitCode } from '../program/exit-code.ts';
import type { Command, CommandContext, OutputFormat } from '../program/terminal.ts';

export interface DevImageOptions extends ConnectOptions {
  readonly name: string;
  readonly output: OutputFormat;
}

/** `selvedge dev image`: something small to put on machines; each name is another image. */
export const devImageCommand: Command<DevImageOptions> = async (options, ctx) => {
  const { name, output } = options;
  await using hub = await connect(options, ctx.process);
  await mustBeNew(hub, name);
  const folder = await mkdtemp(join(ctx.process.env['TMPDIR'] ?? tmpdir(), 'selvedge-dev-image-'));
  try {
    const file = join(folder, `${name}.raw`);
    await build(file, name, ctx);
    const spec = {
      architecture: 'amd64',
      description: 'Tiny operating system for trying Selvedge out',
    } as const;
    await pushDisk({ name, file, output, spec }, { hub, ctx });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return exitCode.ok;
};

async function build(outputFile: string, name: string, ctx: CommandContext): Promise<void> {
  const cacheDir = packageCache(ctx.process);
  const { signal } = ctx.process;
  const { buildTinyOs } = await import('@selvedge/inspection');
  ctx.hint(
    'Builds a tiny operating system out of Debian packages; this takes a minute or two the first time.',
  );
  try {
    await buildTinyOs({ outputFile, cacheDir, name, signal });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new CommandError(
      `the tiny operating system could not be built: ${(cause as Error).message}`,
      'It needs Debian or Ubuntu on amd64 with fdisk, dosfstools, mtools and syslinux; no root.',
      { cause },
    );
  }
}
