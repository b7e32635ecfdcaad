import { isStatusError } from '@selvedge/api';
import { CommandError } from '../program/exit-code.ts';

/** What the hub's own functions throw for a person to read is told in one line, as everywhere. */
export async function asCommandErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof Error) || isStatusError(cause) || isProgrammingFault(cause)) throw cause;
    if (cause instanceof CommandError || cause.name === 'UsageError') throw cause;
    throw new CommandError(cause.message, undefined, { cause });
  }
}

export function isProgrammingFault(error: Error): boolean {
  return error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError;
}
