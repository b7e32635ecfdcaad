import { isIPv4 } from 'node:net';
import type { PowerState } from '@selvedge/api';
import { ManualDriver, unsupported } from './manual-driver.ts';
import {
  type BmcIdentity,
  type BootSetting,
  type PowerAction,
  type PowerDriver,
  PowerError,
  type PowerOptions,
} from './power-driver.ts';

/** Packets are lost: each is sent so often, with a pause. */
const packets = 3;
const pauseMs = 100;
const discardPort = 9;

/** Wakes a machine by the magic packet of its network port. It can do nothing else, and hears no answer. */
export class WakeOnLanDriver implements PowerDriver {
  readonly abilities = { readsState: false, turnsOn: true, turnsOff: false, setsBoot: false };
  readonly #options: PowerOptions;
  readonly #packet: Buffer;
  readonly #targets: readonly { address: string; port: number }[];
  readonly #byHand = new ManualDriver();

  /** Throws PowerError Invalid. */
  constructor(options: PowerOptions) {
    const { bmc, macAddresses, broadcasts } = options;
    this.#options = options;
    this.#packet = magicPacket(bmc.macAddress ?? macAddresses[0]);
    this.#targets = targetsOf(bmc.address, broadcasts);
  }

  async state(): Promise<PowerState> {
    return 'Unknown';
  }

  async turn(action: PowerAction, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (action !== 'On')
      throw unsupported(
        'Wake-on-LAN can only turn a machine on: turn it off at its button, or from its system.',
      );
    await this.#send(signal);
  }

  setBoot(): Promise<BootSetting> {
    return this.#byHand.setBoot();
  }

  identify(): Promise<BmcIdentity> {
    return this.#byHand.identify();
  }

  async close(): Promise<void> {}

  async #send(signal: AbortSignal): Promise<void> {
    const { createSocket } = await import('node:dgram');
    const socket = createSocket('udp4');
    try {
      const { promise: bound, resolve, reject } = Promise.withResolvers<void>();
      socket.once('error', reject);
      socket.bind(0, resolve);
      await bound;
      socket.setBroadcast(true);
      for (let sent = 0; sent < packets; sent += 1) {
        if (sent > 0) await this.#options.clock.sleep(pauseMs, signal);
        signal.throwIfAborted();
        for (const { address, port } of this.#targets) {
          const { promise, resolve: done, reject: fail } = Promise.withResolvers<void>();
          socket.send(this.#packet, port, address, (error) => (error ? fail(error) : done()));
          await promise;
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      throw new PowerError('Unavailable', `The magic packet could not be sent: ${(error as Error).message}`, {
        isPassing: true,
        cause: error,
      });
    } finally {
      socket.close();
    }
  }
}

function magicPacket(macAddress: string | undefined): Buffer {
  const bytes = Buffer.from((macAddress ?? '').replaceAll(/[:-]/g, ''), 'hex');
  if (bytes.length !== 6) {
    throw new PowerError('Invalid', 'Wake-on-LAN needs spec.bmc.macAddress or spec.identity.macAddresses.', {
      isPassing: false,
    });
  }
  return Buffer.concat([Buffer.alloc(6, 0xff), ...Array.from({ length: 16 }, () => bytes)]);
}

/** `[ip][:port]`; without an address those of the rack's networks, else all that the machine is on. */
function targetsOf(
  address: string | undefined,
  broadcasts: readonly string[],
): { address: string; port: number }[] {
  const [host = '', portText] = (address ?? '').split(':');
  const port = portText === undefined ? discardPort : Number(portText);
  const isPort = Number.isInteger(port) && port > 0 && port < 65_536;
  if ((host !== '' && !isIPv4(host)) || !isPort) {
    throw new PowerError(
      'Invalid',
      'spec.bmc.address of type WakeOnLAN is a broadcast address: [ip][:port]',
      {
        isPassing: false,
      },
    );
  }
  const hosts = host !== '' ? [host] : broadcasts.length > 0 ? broadcasts : ['255.255.255.255'];
  return hosts.map((each) => ({ address: each, port }));
}
