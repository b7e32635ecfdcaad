import { StatusError } from '@selvedge/api';

// SQLSTATEs: https://www.postgresql.org/docs/current/errcodes-appendix.html
const unavailable: Record<string, string> = {
  '25006': 'the database only takes reads: it is a standby, or default_transaction_read_only is on',
  '53100': 'the disk of the database server is full: free some space there',
  '53200': 'the database server has no memory left',
  '53300':
    'the database server takes no more connections: raise max_connections, or run fewer programs on it',
  '55P03': 'another hub held the lock on the revision sequence for too long',
  '57014': 'the database took too long to answer',
  '57P01': 'the database server is stopping',
  '57P02': 'the database server is restarting after a crash',
  '57P03': 'the database server is starting',
  '58030': 'the database server failed to read or write its disk',
};

const setup: Record<string, string> = {
  '28000': 'the server does not let this user in from here: check its pg_hba.conf',
  '28P01': 'the password is wrong: check the URL, --store-password-file, PGPASSWORD or ~/.pgpass',
  '3D000': 'there is no such database: CREATE DATABASE … OWNER … on the server',
  '42501': 'the user lacks rights: make it the owner of the database, or of a schema "selvedge" in it',
};

/** Turns what the PostgreSQL driver throws into a StatusError; a StatusError stays what it is. */
export function postgresError(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  const code = sqlState(error);
  const why = code === undefined ? undefined : (unavailable[code] ?? setup[code]);
  if (why !== undefined) return storeUnavailable(why, error);
  if (isConnectionLost(error)) {
    return storeUnavailable(`the database cannot be reached: ${reasonOf(error)}`, error);
  }
  if (code === '22021' || code === '54000') {
    return new StatusError('BadRequest', `the database cannot hold this: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  return new StatusError('InternalError', 'the store failed', { cause: error });
}

/** Nothing was written, or read. */
export function storeUnavailable(why: string, cause?: unknown): StatusError {
  return new StatusError('ServiceUnavailable', `the store cannot do this now: ${why}`, {
    cause,
    details: { retryAfterSeconds: 2 },
  });
}

/** The connection is gone, or could not be had; whether the last statement was carried out is not known. */
class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

/** What the driver throws without a word of the server is about the connection. */
export function asConnectionLost(error: unknown): unknown {
  if (sqlState(error) !== undefined) return error;
  return new ConnectionLost(reasonOf(error), { cause: error });
}

export function isConnectionLost(error: unknown): boolean {
  return error instanceof ConnectionLost || isConnectionState(sqlState(error) ?? '');
}

/** Thrown by the driver, not by what runs between its calls. */
export function isOfDatabase(error: unknown): boolean {
  return error instanceof ConnectionLost || sqlState(error) !== undefined;
}

/** Went wrong by no fault of the statement: may be tried again as it is. Nothing was written. */
export function isPassing(error: unknown): boolean {
  // Lock time-out, deadlock, serialization; a plan that a new schema made invalid.
  return ['55P03', '40P01', '40001', '0A000'].includes(sqlState(error) ?? '');
}

/** Another connection of this hub has taken the place of this one. */
export function isFencedOff(error: unknown): boolean {
  return sqlState(error) === 'SV001';
}

/** Undefined: not from the server. Node's own codes (`ECONNREFUSED`) have other forms. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]{4}$/.test(code)
    ? code
    : undefined;
}

/** Of these the server ends the session. */
function isConnectionState(code: string): boolean {
  return code.startsWith('08') || ['57P01', '57P02', '57P03', '57P05', '25P03'].includes(code);
}

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (code === 'ECONNREFUSED') return 'nobody listens there';
  if (code === 'ENOTFOUND') return 'its name is not known';
  return String(message ?? error);
}
