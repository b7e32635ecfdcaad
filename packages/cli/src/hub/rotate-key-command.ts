import { connect, type ConnectOptions } from '../program/connect.ts';
import { exitCode, type ExitCode } from '../program/exit-code.ts';
import { type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';

export interface RotateKeyOptions extends ConnectOptions {
  readonly output: OutputFormat;
}

/** Gives the running hub a new key for its store. */
export async function rotateKeyCommand(options: RotateKeyOptions, ctx: CommandContext): Promise<ExitCode> {
  await using hub = await connect(options, ctx.process);
  const { rotateStoreKeyPath } = await import('@selvedge/hub');
  const result = await hub.client.request<{ resealed: number; keysDropped: number }>({
    method: 'POST',
    path: rotateStoreKeyPath,
  });
  ctx.print(
    options.output === 'table'
      ? `the store has a new key: ${result.resealed} rows sealed anew, the old key is gone; backups made before still need nothing but themselves`
      : await formatDocument(options.output, result),
  );
  return exitCode.ok;
}
