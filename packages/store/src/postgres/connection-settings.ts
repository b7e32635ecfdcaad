import { readFileSync, statSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { StatusError } from '@selvedge/api';
import { findPassword } from './pass-file.ts';

/** Where the database is and who we are there. */
export interface ConnectionSettings {
  /** Name, address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Absent: PGPASSWORD, or a server that asks for none. */
  readonly password?: string;
  readonly tls: ConnectionOptions | false;
}

const sslModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
type SslMode = (typeof sslModes)[number];

const knownParameters = new Set(['host', 'port', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey']);

/**
 * Reads `postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE?sslmode=…&sslrootcert=FILE`. Without `sslmode` loopback and
 * Unix sockets (`?host=/var/run/postgresql`) are used in the clear, everything else as with `verify-full`. The password
 * comes from the URL, the password file, or `~/.pgpass`. Throws BadRequest, never with the password in it.
 */
export function parseStoreUrl(text: string, passwordFile?: string): ConnectionSettings {
  const url = URL.parse(text);
  if (url === null || !['postgres:', 'postgresql:'].includes(url.protocol)) {
    throw badUrl('it must be postgres://USER@HOST/DATABASE');
  }
  const unknown = [...url.searchParams.keys()].filter((name) => !knownParameters.has(name));
  if (unknown.length > 0) {
    throw badUrl(
      `it has unknown parameters: ${unknown.join(', ')}; known are ${[...knownParameters].join(', ')}`,
    );
  }
  const host =
    url.searchParams.get('host') ?? (decode(url.hostname.replace(/^\[(.*)\]$/, '$1')) || 'localhost');
  const port = Number(url.searchParams.get('port') ?? (url.port === '' ? 5432 : url.port));
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw badUrl('its port is no number from 1 to 65535');
  const user = decode(url.username) || userInfo().username;
  const database = decode(url.pathname.slice(1)) || user;
  const settings = { host, port, database, user, tls: tlsOptions(url.searchParams, host) };
  const password =
    passwordFile === undefined
      ? decode(url.password) || findPassword(join(homedir(), '.pgpass'), settings)
      : readPasswordFile(passwordFile);
  return password === undefined ? settings : { ...settings, password };
}

/** For people and logs: everything but the password. */
export function describeSettings({ user, host, port, database }: ConnectionSettings): string {
  return `postgres://${user}@${host.includes(':') ? `[${host}]` : host}:${port}/${database}`;
}

function tlsOptions(parameters: URLSearchParams, host: string): ConnectionOptions | false {
  const isLocal = host.startsWith('/') || ['localhost', '127.0.0.1', '::1'].includes(host);
  const authority = parameters.get('sslrootcert');
  const mode = (parameters.get('sslmode') ??
    (isLocal && authority === null ? 'disable' : 'verify-full')) as SslMode;
  if (!sslModes.includes(mode)) throw badUrl(`its sslmode must be one of ${sslModes.join(', ')}`);
  if (mode === 'disable') return false;
  if (host.startsWith('/')) throw badUrl('a Unix socket has no TLS: leave sslmode out');
  const certificate = parameters.get('sslcert');
  const key = parameters.get('sslkey');
  if ((certificate === null) !== (key === null)) throw badUrl('sslcert and sslkey go together');
  // As libpq: with an authority at hand `require` checks it, too.
  const isChecked = mode !== 'require' || authority !== null;
  return {
    rejectUnauthorized: isChecked,
    ...(isChecked && mode !== 'verify-full' ? { checkServerIdentity: () => undefined } : {}),
    ...(authority === null ? {} : { ca: readParameterFile('sslrootcert', authority) }),
    ...(certificate === null ? {} : { cert: readParameterFile('sslcert', certificate) }),
    ...(key === null ? {} : { key: readParameterFile('sslkey', key) }),
  };
}

function readParameterFile(parameter: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw badUrl(`${parameter} cannot be read: ${(error as Error).message}`);
  }
}

function readPasswordFile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
    if ((statSync(path).mode & 0o077) !== 0) {
      throw new StatusError('BadRequest', `${path} can be read by others: chmod 600 it`);
    }
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw new StatusError('BadRequest', `the password file cannot be read: ${(error as Error).message}`);
  }
  const [password = ''] = text.split(/\r?\n/);
  if (password === '') throw new StatusError('BadRequest', `${path} holds no password in its first line`);
  return password;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badUrl('its percent-encoding is wrong');
  }
}

function badUrl(problem: string): StatusError {
  return new StatusError('BadRequest', `the address of the PostgreSQL database cannot be used: ${problem}`);
}
