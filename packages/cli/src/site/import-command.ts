import { spawn } from 'node:child_process';
import { CommandError, type ExitCode, exitCode } from '../program/exit-code.ts';
import type { CommandContext } from '../program/terminal.ts';

export interface ImportOptions {
  readonly file: string;
  readonly state: string;
}

/** Runs `selvedge-agent import` on this machine: only the agent can prove and keep what the file brings. */
export async function importCommand(options: ImportOptions, ctx: CommandContext): Promise<ExitCode> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const child = spawn('selvedge-agent', ['import', options.file, '--state', options.state], {
    stdio: 'inherit',
    signal: ctx.process.signal,
    killSignal: 'SIGTERM',
  });
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? 1));
  try {
    return (await promise) === 0 ? exitCode.ok : exitCode.trouble;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new CommandError(
      'there is no program selvedge-agent on this machine',
      'A file is imported where the agent of the site runs: selvedge-agent import FILE --state DIR',
      { cause },
    );
  }
}
