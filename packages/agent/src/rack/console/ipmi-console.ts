import { spawn } from 'node:child_process';
import { pipeline } from 'node:stream/promises';
import { type BmcOrder, printable, StatusError } from '@selvedge/api';
import type { CommandStreams } from '../../link/streams/stream-backend.ts';
import {
  cipherSuitesOf,
  ipmitoolAccess,
  type IpmitoolOptions,
  parseIpmiAddress,
  runIpmitool,
} from '../power/ipmi/run-ipmitool.ts';
import type { BmcHosts } from '../power/bmc-hosts.ts';
import type { PowerLogin } from '../power/power-driver.ts';

/** ipmitool takes keys of its own after this one at the start of a line; nobody types it, for it ends our own session. */
const escapeCharacter = '\u001d';
/** What ipmitool says before the console speaks. */
const banner = /^\[SOL Session operational\.[^\]]*\]\r?\n/;
const longestComplaint = 2_000;

export interface IpmiConsoleOptions {
  readonly bmc: BmcOrder;
  readonly login: PowerLogin;
  /** Which hosts may be called; absent: any. */
  readonly hosts?: BmcHosts;
  /** Default `ipmitool`. */
  readonly program?: string;
}

/** Serial over LAN by ipmitool, until the client leaves or the BMC ends it. Throws StatusError when it cannot be had. */
export async function runIpmiConsole(options: IpmiConsoleOptions, streams: CommandStreams): Promise<void> {
  const { signal } = streams;
  const call = await findCall(options, signal);
  const { program = 'ipmitool' } = options;
  const { args, env } = ipmitoolAccess(call);
  const child = spawn(program, [...args, '-e', escapeCharacter, 'sol', 'activate'], {
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    signal,
    killSignal: 'SIGTERM',
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (complaint.length < longestComplaint) complaint += text;
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  // Told by its end, too: the program is missing, or was ended.
  child.on('error', () => undefined);
  // A client that leaves makes these fail; the signal ends the program.
  const typed = pipeline(streams.stdin, child.stdin).catch(() => undefined);
  const shown = pipeline(child.stdout, withoutBanner, streams.stdout, { end: false }).catch(() => undefined);
  await closed;
  await shown;
  streams.stdin.destroy();
  await typed;
  if (signal.aborted) {
    // The BMC keeps a session that was not closed, and lets nobody else in.
    await runIpmitool({ ...call, command: ['sol', 'deactivate'], signal: AbortSignal.timeout(20_000) }).catch(
      () => undefined,
    );
    return;
  }
  throw new StatusError('ServiceUnavailable', endMessage(complaint));
}

/** The first cipher suite that the BMC takes. Throws StatusError. */
async function findCall(
  { bmc, login, hosts, program }: IpmiConsoleOptions,
  signal: AbortSignal,
): Promise<Omit<IpmitoolOptions, 'command' | 'signal'>> {
  const { host: name, port } = parseIpmiAddress(bmc);
  const target = { host: (await hosts?.resolve(name)) ?? name, port };
  let message = `${target.host} does not answer`;
  for (const cipherSuite of cipherSuitesOf(bmc)) {
    const call = { target, login, cipherSuite, ...(program === undefined ? {} : { program }) };
    const { error } = await runIpmitool({ ...call, command: ['chassis', 'power', 'status'], signal });
    if (error === undefined) return call;
    ({ message } = error);
    if (error.kind !== 'CipherSuite') break;
  }
  throw new StatusError('ServiceUnavailable', `no console: ${message}`);
}

function endMessage(complaint: string): string {
  const lines = complaint.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('tcgetattr'));
  if (lines.some((line) => /already active/i.test(line))) {
    return 'somebody else has the console of this machine: its BMC lets only one in';
  }
  const last = lines.at(-1);
  return last === undefined ? 'the BMC ended the console' : `the BMC ended the console: ${printable(last)}`;
}

async function* withoutBanner(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of source) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const text = head.toString('latin1');
    if (text.startsWith('[SOL') && !text.includes('\n')) continue;
    const rest = Buffer.from(text.replace(banner, ''), 'latin1');
    head = undefined;
    if (rest.length > 0) yield rest;
  }
  if (head !== undefined && head.length > 0) yield head;
}
