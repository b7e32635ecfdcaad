import { DepotError } from './depot.ts';

/** An error of the disk or the network as one of the depot. `what`: what was being done, for people. */
export function toDepotError(error: unknown, what: string): DepotError {
  if (error instanceof DepotError) return error;
  const message = `${what}: ${describe(error)}`;
  if (isDiskFull(error)) {
    return new DepotError('StorageFull', `${message}; free some space, it goes on by itself`, {
      isLasting: false,
      cause: error,
    });
  }
  return new DepotError('Unavailable', message, { isLasting: false, cause: error });
}

export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** Happy eyeballs gives an AggregateError with an empty message. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map((one: Error) => one.message).join('; ');
  return error instanceof Error ? error.message : String(error);
}
