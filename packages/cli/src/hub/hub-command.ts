import { isStatusError } from '@selvedge/api';
import { CommandError, UsageError } from '../program/exit-code.ts';

export interface HubCommandOptions {
  readonly data: string;
  readonly listen?: string;
  readonly advertise?: readonly string[];
  readonly syncWait?: string;
  readonly logLevel?: string;
}

/** Runs the hub until a signal stops it. What keeps it from starting is told in one line, as everywhere. */
export async function hubCommand(options: HubCommandOptions): Promise<void> {
  const { HubOptionError, runHub } = await import('@selvedge/hub');
  try {
    await runHub(options);
  } catch (cause) {
    if (!(cause instanceof Error) || isStatusError(cause) || isProgrammingFault(cause)) throw cause;
    if (cause instanceof HubOptionError) throw new UsageError(cause.message, { cause });
    throw new CommandError(cause.message, undefined, { cause });
  }
}

function isProgrammingFault(error: Error): boolean {
  return error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
}
