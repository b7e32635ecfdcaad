import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { StatusError } from '@selvedge/api';
import type { CommandStreams, RemoteCommand, StreamBackend } from '../../link/streams/stream-backend.ts';
import type { BmcHosts } from '../power/bmc-hosts.ts';
import { PowerError } from '../power/power-driver.ts';
import type { MachineConsole } from './machine-console.ts';

const connectMs = 10_000;

/**
 * The console of one machine: the serial port that `bmc.console` names, else that of its BMC by IPMI, else what its inspection system writes, in which nothing
 * can be typed.
 */
export class ConsoleBackend implements StreamBackend {
  readonly #console: MachineConsole;

  constructor(console: MachineConsole) {
    this.#console = console;
  }

  exec(): Promise<number> {
    return Promise.reject(
      new StatusError('BadRequest', 'nothing can be run on a machine: attach to its console'),
    );
  }

  async attach(_command: RemoteCommand, streams: CommandStreams): Promise<void> {
    const { bmc, login, hosts } = this.#console;
    try {
      if (bmc?.console !== undefined) await joinPort(bmc.console, hosts, streams);
      else if (bmc?.type === 'IPMI') {
        const { runIpmiConsole } = await import('./ipmi-console.ts');
        await runIpmiConsole({ bmc, login, ...(hosts ? { hosts } : {}) }, streams);
      } else await this.#showLog(streams);
    } catch (error) {
      if (!(error instanceof PowerError)) throw error;
      throw new StatusError('ServiceUnavailable', `no console: ${error.message}`, { cause: error });
    }
  }

  portForward(): Promise<Duplex> {
    return Promise.reject(new StatusError('BadRequest', 'ports of a machine are not forwarded'));
  }

  async #showLog({ stdin, stdout, signal }: CommandStreams): Promise<void> {
    const write = (text: string) => {
      // Slower than the machine writes: what is missed can be read again with --log.
      if (!stdout.writableNeedDrain) stdout.write(text.replaceAll(/\r?\n/g, '\r\n'));
    };
    stdin.resume();
    write(
      'This machine has no serial console (spec.bmc.console, or a BMC of type IPMI): this is what its inspection system writes.\n',
    );
    write(this.#console.log);
    const stop = this.#console.onLog(write);
    try {
      if (!signal.aborted) {
        await new Promise<void>((resolve) =>
          signal.addEventListener('abort', () => resolve(), { once: true }),
        );
      }
    } finally {
      stop();
    }
  }
}

/** `tcp://host:port`. Throws StatusError, or PowerError for a host that is not to be called. */
async function joinPort(
  address: string,
  hosts: BmcHosts | undefined,
  { stdin, stdout, signal }: CommandStreams,
): Promise<void> {
  const url = URL.parse(address);
  if (url?.protocol !== 'tcp:' || url.port === '' || url.hostname === '') {
    throw new StatusError('BadRequest', 'spec.bmc.console has to be tcp://host:port');
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  hosts?.check(host);
  const lookup = hosts ? { lookup: hosts.lookup } : {};
  const socket = connect({ host, port: Number(url.port), signal, ...lookup });
  socket.setTimeout(connectMs, () => {
    if (socket.connecting) socket.destroy(new Error('it does not answer'));
  });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
  } catch (cause) {
    if (signal.aborted) return;
    const message = `no console at ${address}: ${(cause as Error).message}`;
    throw new StatusError('ServiceUnavailable', message, { cause });
  }
  socket.setTimeout(0);
  const typed = pipeline(stdin, socket).catch(() => undefined);
  await pipeline(socket, stdout, { end: false }).catch(() => undefined);
  socket.destroy();
  await typed;
}
