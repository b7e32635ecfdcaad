import { isStatusError, printable, StatusError } from '@selvedge/api';
import { CommandError, type ExitCode, exitCode, UsageError } from './exit-code.ts';
import { type CliProcess, showControls } from './terminal.ts';

/** Writes one error to stderr, as Status JSON where the answer was to be JSON, and says how to exit. */
export function reportError(error: unknown, process: CliProcess, isJson: boolean): ExitCode {
  if (isJson) {
    process.stderr.write(`${showControls(JSON.stringify(statusOf(error).toBody()))}\n`);
  } else {
    process.stderr.write(`selvedge: ${messageOf(error)}\n`);
    const hint = hintFor(error);
    if (hint !== undefined) process.stderr.write(`  ${printable(hint)}\n`);
  }
  if (process.env['SELVEDGE_DEBUG'] && error instanceof Error) {
    process.stderr.write(`${showControls(describeChain(error))}\n`);
  }
  if (error instanceof UsageError) return exitCode.usage;
  return isStatusError(error, 'ServiceUnavailable') ? exitCode.unreachable : exitCode.trouble;
}

function statusOf(error: unknown): StatusError {
  if (isStatusError(error)) return error;
  const message = messageOf(error);
  if (error instanceof UsageError) return new StatusError('BadRequest', message);
  if (error instanceof CommandError) {
    return new StatusError('BadRequest', error.hint === undefined ? message : `${message}. ${error.hint}`);
  }
  return new StatusError('InternalError', message);
}

function messageOf(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error));
}

function hintFor(error: unknown): string | undefined {
  if (error instanceof CommandError) return error.hint;
  if (isStatusError(error, 'Unauthorized')) {
    return 'The hub does not know this certificate or token: use the admin.kubeconfig of this very hub.';
  }
  if (isStatusError(error, 'Forbidden')) return 'Ask for the right, or use another user with --context.';
  if (!(error instanceof UsageError || isStatusError(error))) {
    return 'This is a fault of selvedge itself; SELVEDGE_DEBUG=1 shows where.';
  }
  return undefined;
}

function describeChain(error: Error): string {
  const parts: string[] = [];
  for (let e: unknown = error; e instanceof Error; e = e.cause) parts.push(e.stack ?? e.message);
  return parts.join('\ncaused by: ');
}
