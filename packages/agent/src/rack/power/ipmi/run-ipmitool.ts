import { spawn } from 'node:child_process';
import { isIPv6 } from 'node:net';
import { type BmcOrder, printable } from '@selvedge/api';
import { PowerError, type PowerLogin } from '../power-driver.ts';

export interface IpmiTarget {
  readonly host: string;
  readonly port: number;
}

export interface IpmitoolOptions {
  readonly target: IpmiTarget;
  readonly login: PowerLogin;
  readonly cipherSuite: number;
  readonly command: readonly string[];
  readonly signal: AbortSignal;
  /** Default `ipmitool`, found on the usual path. */
  readonly program?: string;
}

export interface IpmitoolAnswer {
  readonly output: string;
  /** Undefined: it went well. */
  readonly error?: IpmitoolFailure;
}

export interface IpmitoolFailure {
  readonly kind: 'Silent' | 'Login' | 'Forbidden' | 'CipherSuite' | 'Refused';
  readonly message: string;
}

const usualPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** It gives up on a silent BMC after about 10 s. */
const secondsPerTry = 2;
const tries = 2;
const timeoutMs = 45_000;
const mostOutput = 64 * 1024;

/**
 * One call of ipmitool over RMCP+. Password and key go by its environment, never by its arguments. Throws PowerError when the program is missing, or the signal's
 * reason; what the BMC did is in the answer.
 */
export async function runIpmitool(options: IpmitoolOptions): Promise<IpmitoolAnswer> {
  const { target, command, signal, program = 'ipmitool' } = options;
  const { args: access, env } = ipmitoolAccess(options);
  const how = ['-N', String(secondsPerTry), '-R', String(tries)];
  // With -v it says why a login was refused.
  const args = ['-v', ...access, ...how, ...command];
  signal.throwIfAborted();
  const deadline = AbortSignal.timeout(timeoutMs);
  const child = spawn(program, args, {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Without a terminal: it must not ask anybody.
    detached: true,
    signal: AbortSignal.any([signal, deadline]),
    killSignal: 'SIGKILL',
  });
  const output = collect(child.stdout);
  const errors = collect(child.stderr);
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject);
  child.once('close', resolve);
  try {
    const code = await promise;
    if (code === 0) return { output: output() };
    return { output: output(), error: failureOf(`${errors()}\n${output()}`, target) };
  } catch (error) {
    signal.throwIfAborted();
    if (deadline.aborted) return { output: '', error: silent(target) };
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new PowerError(
      'Unsupported',
      isMissing
        ? 'The program ipmitool is not installed at the rack (Debian: apt install ipmitool).'
        : `ipmitool cannot be started: ${(error as Error).message}`,
      { isPassing: false, cause: error },
    );
  }
}

/** Where, as whom and how: arguments and environment of ipmitool. Password and key stand in the environment only. */
export function ipmitoolAccess({
  target,
  login,
  cipherSuite,
}: Pick<IpmitoolOptions, 'target' | 'login' | 'cipherSuite'>): {
  args: string[];
  env: Record<string, string>;
} {
  const where = ['-I', 'lanplus', '-H', target.host, '-p', String(target.port)];
  const who = ['-U', login.username ?? '', '-E', ...(login.kg === undefined ? [] : ['-K'])];
  return {
    args: [...where, ...who, '-C', String(cipherSuite)],
    env: {
      PATH: usualPath,
      LC_ALL: 'C',
      IPMI_PASSWORD: login.password ?? '',
      ...(login.kg === undefined ? {} : { IPMI_KGKEY: login.kg }),
    },
  };
}

/** Which to try, best first. Throws PowerError Invalid for the one that proves and protects nothing: with it anybody switches the machine. */
export function cipherSuitesOf({ cipherSuite }: BmcOrder): readonly number[] {
  if (cipherSuite === undefined) return [17, 3];
  if (cipherSuite > 0) return [cipherSuite];
  throw new PowerError(
    'Invalid',
    'spec.bmc.cipherSuite 0 asks for no password at all: leave it out, and switch that suite off at the BMC',
    { isPassing: false },
  );
}

/** `host`, `host:port`, `[ipv6]:port`. Throws PowerError Invalid. */
export function parseIpmiAddress(bmc: BmcOrder): IpmiTarget {
  const address = bmc.address ?? '';
  const url = URL.parse(`udp://${isIPv6(address) ? `[${address}]` : address}`);
  const host = url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  // A host must not pass for an option of the program.
  const isHost = /^[A-Za-z0-9][A-Za-z0-9.:%_-]*$/.test(host) || isIPv6(host);
  if (!url || !isHost || !['', '/'].includes(url.pathname) || url.username !== '') {
    throw new PowerError('Invalid', 'spec.bmc.address of type IPMI is host[:port]', { isPassing: false });
  }
  return { host, port: Number(url.port) || 623 };
}

function failureOf(text: string, target: IpmiTarget): IpmitoolFailure {
  if (/unauthorized name|HMAC is invalid|invalid role/i.test(text)) {
    return {
      kind: 'Login',
      message: `${target.host} refused the login (see the Secret of spec.bmc.secretRef)`,
    };
  }
  if (/insufficient privilege|privilege level/i.test(text)) {
    return {
      kind: 'Forbidden',
      message: `the user of spec.bmc.secretRef may not do this at ${target.host}: it has to be an administrator over LAN`,
    };
  }
  if (/open session response message|cipher suite|authentication algorithm|integrity algorithm/i.test(text))
    return {
      kind: 'CipherSuite',
      message: `${target.host} refused the cipher suite (see spec.bmc.cipherSuite)`,
    };
  if (/unable to establish|Get Auth Capabilities|timeout|no response|address lookup/i.test(text))
    return silent(target);
  const lines = text
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^(Loading|Running|Discovered)/.test(line));
  return { kind: 'Refused', message: printable(lines.at(-1) ?? 'ipmitool failed').slice(0, 300) };
}

function silent(target: IpmiTarget): IpmitoolFailure {
  return {
    kind: 'Silent',
    message: `${target.host} does not answer IPMI over LAN (UDP port ${target.port})`,
  };
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    if (text.length < mostOutput) text += chunk;
  });
  return () => text;
}
