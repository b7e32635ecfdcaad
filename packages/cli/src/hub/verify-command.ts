import type { BackupSummary } from '@selvedge/hub';
import { exitCode, type ExitCode, UsageError } from '../program/exit-code.ts';
import { type CommandContext, formatDocument, type OutputFormat } from '../program/terminal.ts';
import { asCommandErrors } from './command-errors.ts';
import type { DatabaseFlags } from './database-flags.ts';
import { type PassphraseOptions, readPassphrase } from './passphrase.ts';
import { printSummary } from './print-summary.ts';

export interface VerifyOptions extends PassphraseOptions, DatabaseFlags {
  /** A backup; else `data` is looked at. */
  readonly file?: string;
  readonly data?: string;
  readonly output: OutputFormat;
}

/** Reads a store, or a backup, from end to end; exits 1 when something is wrong with it. */
export async function verifyCommand(options: VerifyOptions, ctx: CommandContext): Promise<ExitCode> {
  const { file, data } = options;
  if ((file === undefined) === (data === undefined)) {
    throw new UsageError('give one of --data DIR (the data directory of a hub) and FILE (a backup)');
  }
  if (file !== undefined) {
    const passphrase = await readPassphrase(options);
    const { verifyBackupFile } = await import('@selvedge/hub');
    const summary: BackupSummary = await asCommandErrors(() => verifyBackupFile(file, passphrase));
    await printSummary(summary, { verb: 'the backup is whole', output: options.output, ctx });
    return exitCode.ok;
  }
  return verifyDirectory(data as string, options, ctx);
}

async function verifyDirectory(
  dataDirectory: string,
  options: VerifyOptions,
  ctx: CommandContext,
): Promise<ExitCode> {
  const { output } = options;
  const { resolveStoreOptions, verifyDataDirectory } = await import('@selvedge/hub');
  const { createLogger } = await import('@selvedge/api/node');
  const logger = createLogger({ level: 'silent' });
  const { clock } = ctx.process;
  const verdict = await asCommandErrors(() => {
    const store = resolveStoreOptions(options);
    return verifyDataDirectory({ dataDirectory, store, clock, logger });
  });
  const isSound = verdict.problems.length === 0;
  if (output === 'table') {
    const counts = Object.entries(verdict.counts).map(([name, count]) => `${count} ${name}`);
    ctx.print(`store at revision ${verdict.revision}: ${counts.join(', ')}`);
    for (const problem of verdict.problems) ctx.print(ctx.paint('bad', problem));
    ctx.print(
      isSound
        ? ctx.paint('good', 'nothing is wrong with it')
        : 'restore it from a backup: docs/guides/backup-and-restore.md',
    );
  } else {
    ctx.print(await formatDocument(output, verdict));
  }
  return isSound ? exitCode.ok : exitCode.trouble;
}
