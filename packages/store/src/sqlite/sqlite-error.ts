import { StatusError } from '@selvedge/api';

// Primary result codes: https://www.sqlite.org/rescode.html
const unavailable: Record<number, string> = {
  5: 'the database is in use by another process',
  6: 'the database is in use by another process',
  7: 'the machine has no memory left',
  8: 'the database file cannot be written: check its owner, its mode and that the file system is not mounted read-only',
  10: 'reading or writing the database file failed: check the disk and the kernel log',
  13: 'the disk is full: free some space in the file system of the database',
  14: 'the database file cannot be opened: check that its folder exists and its owner and mode',
};

/** Turns what the SQLite engine throws into a StatusError; a StatusError stays what it is. */
export function sqliteError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const code = primaryCode(error);
  const why = code === undefined ? undefined : unavailable[code];
  if (why !== undefined) {
    return new StatusError('ServiceUnavailable', `the store cannot do this now: ${why}`, {
      cause: error,
      details: { retryAfterSeconds: 5 },
    });
  }
  if (code === 11 || code === 26) {
    return new StatusError(
      'InternalError',
      'the database file is damaged or is no SQLite database: restore it from a backup',
      { cause: error },
    );
  }
  return new StatusError('InternalError', 'the store failed', { cause: error });
}

/** True when another process (or another store of this one) holds the database. */
export function isHeldElsewhere(error: unknown): boolean {
  const code = error instanceof StatusError ? primaryCode(error.cause) : undefined;
  return code === 5 || code === 6;
}

function primaryCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}
