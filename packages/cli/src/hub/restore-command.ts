import { exitCode, type ExitCode, UsageError } from '../program/exit-code.ts';
import { type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { asCommandErrors } from './command-errors.ts';
import type { DatabaseFlags } from './database-flags.ts';
import { type PassphraseOptions, readPassphrase } from './passphrase.ts';

export interface RestoreCommandOptions extends PassphraseOptions, DatabaseFlags {
  readonly file: string;
  readonly data?: string;
  readonly output: OutputFormat;
}

/** Makes a data directory from a backup. */
export async function restoreCommand(options: RestoreCommandOptions, ctx: CommandContext): Promise<ExitCode> {
  const { file, data } = options;
  if (data === undefined) throw new UsageError('--data DIR is needed: the empty directory to restore into');
  const passphrase = await readPassphrase(options);
  const { openStoreWithKeys, readBackupFile, resolveStoreOptions, restoreBackup } = await import(
    '@selvedge/hub'
  );
  const { createLogger } = await import('@selvedge/api/node');
  const { clock } = ctx.process;
  const logger = createLogger({ level: 'warn' });
  const summary = await asCommandErrors(() => {
    const store = resolveStoreOptions(options);
    return restoreBackup({
      dataDirectory: data,
      packed: readBackupFile(file, passphrase),
      ...(store.url === undefined
        ? {}
        : { openStore: (keys) => openStoreWithKeys({ dataDirectory: data, store, keys, clock, logger }) }),
      clock,
      logger,
    });
  });
  if (options.output === 'table') {
    ctx.print(`hub ${summary.hubId} restored into ${data} as it was at ${summary.createdAt}`);
    ctx.print(`next: selvedge hub --data ${data} (with the flags it had), then selvedge status`);
  } else {
    ctx.print(await formatDocument(options.output, summary));
  }
  return exitCode.ok;
}
