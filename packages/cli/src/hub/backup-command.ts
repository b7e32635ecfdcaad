import type { BackupSummary } from '@selvedge/hub';
import { connect, type ConnectOptions } from '../program/connect.ts';
import { exitCode, type ExitCode, UsageError } from '../program/exit-code.ts';
import type { CommandContext, OutputFormat } from '../program/terminal.ts';
import { asCommandErrors } from './command-errors.ts';
import { type PassphraseOptions, readPassphrase } from './passphrase.ts';
import { printSummary } from './print-summary.ts';

export interface BackupOptions extends ConnectOptions, PassphraseOptions {
  readonly file: string;
  /** Read this data directory, instead of asking the running hub. */
  readonly data?: string;
  readonly output: OutputFormat;
}

/** Longest silence of a hub that makes a backup: it copies the store first. */
const idleMilliseconds = 15 * 60_000;

/** Backs a hub up into a file. */
export async function backupCommand(options: BackupOptions, ctx: CommandContext): Promise<ExitCode> {
  if (options.file === '') throw new UsageError('FILE must name the backup to write');
  const passphrase = await readPassphrase(options);
  if (passphrase === undefined) {
    ctx.hint(
      'without a passphrase, whoever has the file has the keys of the hub and all secrets: keep it as such',
    );
  }
  const summary = await asCommandErrors(() => makeBackup(options, { passphrase, ctx }));
  await printSummary(summary, { verb: `backed up into ${options.file}`, output: options.output, ctx });
  return exitCode.ok;
}

async function makeBackup(
  options: BackupOptions,
  { passphrase, ctx }: { passphrase: string | undefined; ctx: CommandContext },
): Promise<BackupSummary> {
  const { backupPath, packDataDirectory, writeBackupFile } = await import('@selvedge/hub');
  const path = options.file;
  if (options.data !== undefined) {
    const { createLogger } = await import('@selvedge/api/node');
    const logger = createLogger({ level: 'silent' });
    const { clock } = ctx.process;
    const packed = await packDataDirectory({ dataDirectory: options.data, clock, logger });
    return writeBackupFile({ path, packed, passphrase });
  }
  await using hub = await connect(options, ctx.process);
  const { signal } = ctx.process;
  const packed = hub.client.download({ path: backupPath, idleMilliseconds, signal });
  return await writeBackupFile({ path, packed, passphrase });
}
