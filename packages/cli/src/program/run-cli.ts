import { CommanderError } from 'commander';
import { buildProgram } from './build-program.ts';
import { exitCode } from './exit-code.ts';
import { type CliProcess, commandContext } from './terminal.ts';

export type { CliProcess } from './terminal.ts';

/** Runs one command line; never throws. Returns how the process is to exit. */
export async function runCli(process: CliProcess): Promise<number> {
  let result: number = exitCode.ok;
  const program = buildProgram(commandContext(process), (code) => {
    result = code;
  });
  try {
    await program.parseAsync([...process.args], { from: 'user' });
    return result;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
    if (process.signal.aborted) return exitCode.trouble;
    const { reportError } = await import('./report-error.ts');
    return reportError(error, process, asksForJson(process.args));
  }
}

function asksForJson(args: readonly string[]): boolean {
  return args.some(
    (arg, i) =>
      ['-ojson', '-o=json', '--output=json'].includes(arg) ||
      (arg === 'json' && /^(-o|--output)$/.test(args[i - 1] ?? '')),
  );
}
